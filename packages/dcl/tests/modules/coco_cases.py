"""Small COCO data sets drawn by hand."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from contrastbench.core.data.coco import encode

HEIGHT, WIDTH = 60, 80


def rectangle(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def bounds(mask: np.ndarray) -> list[float]:
    rows, columns = np.nonzero(mask)
    left, top = columns.min(), rows.min()
    return [float(v) for v in (left, top, columns.max() + 1 - left, rows.max() + 1 - top)]


def truth(*instances: tuple[Any, ...], categories: Iterable[str] = ("car", "person")) -> dict[str, Any]:
    """COCO annotations of (category id, mask[, image id[, crowd]]); images are those named, and image 1."""
    annotations = []
    for number, (category, mask, *rest) in enumerate(instances, 1):
        image, crowd = (*rest, *(1, 0)[len(rest) :])
        annotations.append(
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "segmentation": encode(mask),
                "bbox": bounds(mask),
                "area": int(mask.sum()),
                "iscrowd": crowd,
            }
        )
    ids = sorted({1, *(a["image_id"] for a in annotations)})
    return {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH, "file_name": f"{i}.png"} for i in ids],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories, 1)],
    }


def found(*predictions: tuple[Any, ...]) -> list[dict[str, Any]]:
    """COCO results of (category id, mask[, score[, image id]])."""
    results = []
    for category, mask, *rest in predictions:
        score, image = (*rest, *(0.9, 1)[len(rest) :])
        results.append({"image_id": image, "category_id": category, "segmentation": encode(mask), "score": score})
    return results
