"""Matching predictions to the ground truth of their own category."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from contrastbench.dcl.errors.regions import Rle

MIN_IOU = 0.1
"""The least mask IoU of a matched prediction (section 3 of the DCL paper)."""

UNMATCHED = -1


def match(
    predictions: Sequence[Rle],
    prediction_categories: Sequence[int],
    instances: Sequence[Rle],
    instance_categories: Sequence[int],
) -> np.ndarray:
    """Match each prediction of an image to the instance of its category that it overlaps most.

    Each prediction is matched by itself, so that several can share an instance. Among instances of equal IoU it is
    the last, as in the published tool; the paper leaves it open.

    Args:
        predictions: n masks.
        prediction_categories: their category ids.
        instances: m masks of the ground truth, crowd regions left out.
        instance_categories: their category ids.

    Returns:
        ``[n]`` (int64): which instance, or ``UNMATCHED`` where no mask IoU reaches ``MIN_IOU``.
    """
    matched = np.full(len(predictions), UNMATCHED)
    if not len(predictions) or not len(instances):
        return matched
    iou = coco_mask.iou(list(predictions), list(instances), [0] * len(instances))
    iou[np.not_equal.outer(np.asarray(prediction_categories), np.asarray(instance_categories))] = 0
    best = len(instances) - 1 - iou[:, ::-1].argmax(1)
    found = iou[np.arange(len(iou)), best] >= MIN_IOU
    matched[found] = best[found]
    return matched
