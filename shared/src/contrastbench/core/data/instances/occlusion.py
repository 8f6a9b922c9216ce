"""COCO-OCC: the images of a set in which objects hide each other.

DCL evaluates on it; it comes from BCNet, whose authors say that bounding boxes overlap by at least 0.2 and not what of
them. Both readings are offered: intersection over union, and intersection over the smaller box. The published set has
1,005 of the 5,000 images of val2017, so the count says whether a rule is theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from contrastbench.core.errors import InputError, unknown_name

MEASURES = ("iou", "smaller")


def occluded(ground_truth: Mapping[str, Any], overlap: float = 0.2, measure: str = "iou") -> dict[str, Any]:
    """Return the images in which two boxes overlap, with all of their annotations.

    Args:
        ground_truth: a COCO dict.
        overlap: least overlap of two boxes, above 0 and up to 1. Crowds do not count; classes do not matter.
        measure: ``"iou"``, the intersection over the union of two boxes, or ``"smaller"``, over the smaller one.

    Returns:
        A COCO dict whose ``info`` has the rule under ``subset``: measure, overlap, and images kept and in all.

    Raises:
        InputError: no such measure, an impossible overlap, or no image is left.
    """
    kept = occluded_images(ground_truth, overlap, measure)
    if not kept:
        raise InputError(
            f"no image has two boxes that overlap by {overlap} ({measure}); lower data.subset_overlap, or use all of "
            "the images"
        )
    images = [image for image in ground_truth["images"] if image["id"] in kept]
    rule = {"measure": measure, "overlap": overlap, "images": len(images), "of": len(ground_truth["images"])}
    return {
        **ground_truth,
        "info": {**(ground_truth.get("info") or {}), "subset": rule},
        "images": images,
        "annotations": [entry for entry in ground_truth["annotations"] if entry["image_id"] in kept],
    }


def occluded_images(ground_truth: Mapping[str, Any], overlap: float = 0.2, measure: str = "iou") -> set[int]:
    """Return the ids of the images in which two boxes overlap; the arguments are those of :func:`occluded`.

    Raises:
        InputError: no such measure, or an impossible overlap.
    """
    if measure not in MEASURES:
        raise unknown_name("measure of overlap (data.subset_measure)", str(measure), MEASURES)
    if not 0 < overlap <= 1:
        raise InputError(f"the overlap of two boxes is {overlap}; expected a share above 0 and up to 1, such as 0.2")
    boxes: dict[int, list[Any]] = defaultdict(list)
    for annotation in ground_truth["annotations"]:
        if not annotation.get("iscrowd", 0):
            boxes[annotation["image_id"]].append(annotation["bbox"])
    return {number for number, own in boxes.items() if _largest_overlap(np.array(own, np.float64), measure) >= overlap}


def _largest_overlap(boxes: np.ndarray, measure: str) -> float:
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    shared = np.clip(sides, 0, None).prod(-1)
    area = boxes[:, 2:].prod(-1)
    whole = area[:, None] + area - shared if measure == "iou" else np.minimum(area[:, None], area)
    pairs = np.triu_indices(len(boxes), 1)
    overlaps = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)[pairs]
    return float(overlaps.max(initial=0))
