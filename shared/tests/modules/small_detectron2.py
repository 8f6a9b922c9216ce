"""Networks and inputs of detectron2 that are small enough for tests."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

WARNINGS = [
    pytest.mark.filterwarnings(f"ignore:{message}")
    for message in (
        "torch.meshgrid",
        "The given NumPy array is not writable",
        "__array__ implementation doesn't accept a copy keyword",
        r".*torch\.jit\.\w+.* is deprecated",
    )
]
"""What detectron2 and pycocotools warn of about themselves; a run of this project leaves it out by itself."""

OPTIONS: dict[str, Any] = {
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.ANCHOR_GENERATOR.SIZES": [[8], [16], [24], [32], [64]],
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 32,
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 50,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 50,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 50,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 20,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 1,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 12,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,
    "TEST.DETECTIONS_PER_IMAGE": 10,
}


def slim(**options: Any) -> dict[str, Any]:
    """Return a ``network`` mapping; the options are keys of detectron2's configuration with ``__`` for dots."""
    return {
        "backbone": "resnet18",
        "options": {**OPTIONS, **{name.replace("__", "."): value for name, value in options.items()}},
    }


def batch(generator: torch.Generator, instances: tuple[int, ...] = (2, 1), side: int = 64) -> list[dict[str, Any]]:
    """Return noise images with so many rectangles of two classes, as detectron2's detectors take them."""
    from detectron2.structures import BitMasks, Boxes, Instances

    samples = []
    for count in instances:
        boxes, masks = rectangles(count, side, generator)
        truth = Instances((side, side), gt_boxes=Boxes(boxes))
        truth.gt_classes = torch.randint(0, 2, (count,), generator=generator)
        if count:  # as detectron2's mapper has it
            truth.gt_masks = BitMasks(masks)
        image = torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)
        samples.append({"image": image, "instances": truth, "height": side, "width": side})
    return samples


def rectangles(count: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return boxes ``[count, 4]`` (float) and masks ``[count, side, side]`` (bool) of rectangles that lack a corner."""
    corners = torch.randint(0, side // 2, (count, 2), generator=generator)
    boxes = torch.cat([corners, corners + torch.randint(12, side // 2, (count, 2), generator=generator)], 1)
    masks = torch.zeros(count, side, side, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.tolist(), strict=True):
        mask[top:bottom, left:right] = True
        mask[top : top + 4, left : left + 4] = False
    return boxes.float(), masks
