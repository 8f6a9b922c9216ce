"""Small annotated instances, and networks that train on them in no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from contrastbench.core.data.coco import encode


def write_shapes(root: Path, images: int = 9, size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """Write bright rectangles (category 7) and bright red discs (category 3) on noise; every fourth image has none.

    In the layout of the ``folder`` source, which takes every third image for validation.
    """
    random = np.random.default_rng(seed)
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    (root / "images").mkdir(parents=True)
    entries, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for index in range(images):
        picture = random.integers(0, 60, (*size, 3), dtype=np.uint8)
        for place in range(0 if index % 4 == 3 else 2):
            y, x, radius = random.integers(12, height - 12), 16 + 32 * place + random.integers(-4, 5), 8
            disc = bool(random.integers(2))
            distance = np.hypot(rows - y, columns - x) if disc else np.maximum(abs(rows - y), abs(columns - x))
            mask = distance <= radius
            picture[mask] = (250, 30, 30) if disc else (240, 240, 240)
            box = [int(x - radius), int(y - radius), 2 * radius + 1, 2 * radius + 1]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 10 + index,
                    "category_id": 3 if disc else 7,
                    "segmentation": encode(mask),
                    "area": int(mask.sum()),
                    "bbox": box,
                    "iscrowd": 0,
                }
            )
        name = f"{index:04d}.png"
        Image.fromarray(picture).save(root / "images" / name)
        entries.append({"id": 10 + index, "file_name": name, "height": height, "width": width})
    categories = [{"id": 7, "name": "rectangle"}, {"id": 3, "name": "disc"}]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    (root / "instances.json").write_text(json.dumps(content))
    return root


def slim(**options: Any) -> dict[str, Any]:
    """Return the ``network`` mapping of a Mask R-CNN small enough for tests."""
    return {
        "backbone": "resnet18",
        "width": 8,
        "fpn_channels": 16,
        "anchor_sizes": [8, 16, 24, 32, 64],
        "box_features": 32,
        "mask_channels": [16],
        "mask_features": 12,
        "rpn_pre_nms_top_n_train": 50,
        "rpn_pre_nms_top_n_test": 50,
        "rpn_post_nms_top_n_train": 50,
        "rpn_post_nms_top_n_test": 20,
        "rpn_batch_size_per_image": 32,
        "box_batch_size_per_image": 16,
        "box_detections_per_img": 10,
        **options,
    }


def batch(
    generator: torch.Generator, instances: tuple[int, ...] = (2, 1), side: int = 64
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return noise images ``[3, side, side]`` with so many rectangles of two classes, as torchvision takes them."""
    images, targets = [], []
    for count in instances:
        corners = torch.randint(0, side // 2, (count, 2), generator=generator)
        boxes = torch.cat([corners, corners + torch.randint(12, side // 2, (count, 2), generator=generator)], 1)
        masks = torch.zeros(count, side, side, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.tolist(), strict=True):
            mask[top:bottom, left:right] = 1
            mask[top : top + 4, left : left + 4] = 0
        labels = torch.randint(1, 3, (count,), generator=generator)
        images.append(torch.rand(3, side, side, generator=generator))
        targets.append({"boxes": boxes.float(), "labels": labels, "masks": masks})
    return images, targets
