"""Small instance data sets in the layouts of the real ones, and COCO dicts to check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contrastbench.core.data.coco import encode

HEIGHT, WIDTH = 24, 32


def square(top: int, left: int, side: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a mask of a square, bool ``[height, width]``."""
    mask = np.zeros((height, width), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def annotation(number: int, image: int, category: int, mask: np.ndarray, crowd: int = 0) -> dict[str, Any]:
    """Return a COCO annotation of a mask."""
    rows, columns = np.nonzero(mask)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": encode(mask),
        "bbox": [int(side) for side in box],
        "area": int(mask.sum()),
        "iscrowd": crowd,
    }


def result(image: int, category: int, mask: np.ndarray, score: float = 0.9) -> dict[str, Any]:
    """Return a COCO result of a mask."""
    return {"image_id": image, "category_id": category, "segmentation": encode(mask), "score": score}


def ground_truth(images: int = 3) -> dict[str, Any]:
    """Return COCO ground truth of a square of category 2 in every image and one of category 5 in the first."""
    annotations = [annotation(number, number, 2, square(2 + number, 3, 8)) for number in range(1, images + 1)]
    return {
        "info": {"description": "squares"},
        "images": [
            {"id": number, "file_name": f"{number:04d}.png", "height": HEIGHT, "width": WIDTH}
            for number in range(1, images + 1)
        ],
        "annotations": [*annotations, annotation(images + 1, 1, 5, square(12, 20, 6))],
        "categories": [{"id": 5, "name": "tile"}, {"id": 2, "name": "square"}],
    }


def write_pictures(root: Path, names: list[str], size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """Write images of noise."""
    for index, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(root / name)


def write_folder(root: Path, images: int = 6) -> Path:
    """Write ``images`` and ``instances.json``, the images in another order than that of their names."""
    content = ground_truth(images)
    content["images"].reverse()
    write_pictures(root / "images", [image["file_name"] for image in content["images"]])
    (root / "instances.json").write_text(json.dumps(content))
    return root


def write_coco(root: Path, year: int | str = 2017) -> Path:
    """Write the tree of COCO, two images for training and three for validation."""
    (root / "annotations").mkdir(parents=True)
    for split, images in (("train", 2), ("val", 3)):
        content = ground_truth(images)
        write_pictures(root / f"{split}{year}", [image["file_name"] for image in content["images"]])
        (root / "annotations" / f"instances_{split}{year}.json").write_text(json.dumps(content))
    return root


def town_ids() -> np.ndarray:
    """Return a map of Cityscapes instance ids: cars, a group of persons, a rider, a caravan, void and road."""
    ids = np.full((HEIGHT, WIDTH), 7, np.uint16)
    ids[:3] = 0
    ids[4:10, 2:12] = 26000
    ids[4:10, 12:20] = 26001
    ids[12:20, 2:9] = 24
    ids[12:14, 20:24] = 24
    ids[12:20, 10:14] = 25003
    ids[14:20, 16:20] = 29000
    return ids


def write_town(root: Path, val_ids: np.ndarray | None = None) -> Path:
    """Write the tree of Cityscapes, two images in two towns for training and one for validation."""
    for split, towns in (("train", ("anytown", "bigtown")), ("val", ("anytown",))):
        for town in towns:
            ids = town_ids() if split == "train" or val_ids is None else val_ids
            stem = f"{town}_000000_000019"
            write_pictures(root / "leftImg8bit" / split / town, [f"{stem}_leftImg8bit.png"], ids.shape)
            truth = root / "gtFine" / split / town
            truth.mkdir(parents=True)
            Image.fromarray(ids).save(truth / f"{stem}_gtFine_instanceIds.png")
    return root
