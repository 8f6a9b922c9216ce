"""Average precision of masks and boxes as the COCO API computes it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contrastbench.core.data.coco import read_ground_truth, read_results
from contrastbench.core.errors import InputError


class CocoAP:
    """COCO's average precision, in points.

    The mean over classes, over the IoU thresholds 0.50, 0.55, ..., 0.95, of the precision interpolated at 101 recalls.
    Crowds are ignored: what is on them is neither right nor wrong.

    Args:
        max_detections: results that count an image and class, those of the highest scores. COCO has 100, LVIS 300.

    Raises:
        InputError: ``max_detections`` is not a whole number of 1 or more.
    """

    def __init__(self, max_detections: int = 100) -> None:
        if isinstance(max_detections, bool) or not isinstance(max_detections, int) or max_detections < 1:
            raise InputError(f"CocoAP: max_detections is {max_detections}; expected a whole number, 1 or more")
        self.max_detections = max_detections

    def __call__(self, ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the scores of results.

        Args:
            ground_truth: a COCO dict.
            results: COCO results with masks. A result's box is that of its mask where it has none.

        Returns:
            Points, 0 to 100, or None where there is nothing to find: ``AP_box``, ``AP_seg``, ``AP50``, ``AP75``, and by
            area (under 32^2 pixels, up to 96^2, above) ``AP_S``, ``AP_M``, ``AP_L``, of masks but for the first;
            ``per_class`` ``{"AP_seg": {name: points}}``; ``evaluation``, how it was done.

        Raises:
            InputError: ground truth or results are not as they must be.
        """
        truth = read_ground_truth(ground_truth)
        found = read_results(results, truth)
        masks = precision(truth, found, "segm", self.max_detections)
        names = [category["name"] for category in sorted(truth["categories"], key=lambda category: category["id"])]
        return {
            "AP_box": _points(precision(truth, found, "bbox", self.max_detections)[..., 0]),
            "AP_seg": _points(masks[..., 0]),
            "AP50": _points(masks[0, ..., 0]),
            "AP75": _points(masks[5, ..., 0]),
            "AP_S": _points(masks[..., 1]),
            "AP_M": _points(masks[..., 2]),
            "AP_L": _points(masks[..., 3]),
            "per_class": {"AP_seg": {name: _points(masks[:, :, index, 0]) for index, name in enumerate(names)}},
            "evaluation": "mask AP, COCO API",
        }


def precision(
    ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], kind: str, max_detections: int = 100
) -> np.ndarray:
    """Return the interpolated precision of checked results.

    Args:
        ground_truth: from ``read_ground_truth``.
        results: from ``read_results``; for boxes, masks may be absent where boxes are given.
        kind: ``"segm"`` or ``"bbox"``, what is compared.
        max_detections: results that count an image and class.

    Returns:
        float64 ``[10, 101, classes, 4]``: IoU threshold, recall, class in ascending order of category ids, range of
        areas (all, small, medium, large). -1 where there is nothing to find.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = COCO(), COCO()
    shared = {"images": ground_truth["images"], "categories": ground_truth["categories"]}
    # COCOeval writes into annotations, and takes a match with an id of 0 for none: copies, numbered from 1.
    truth.dataset = {**shared, "annotations": [{**a, "id": i} for i, a in enumerate(ground_truth["annotations"], 1)]}
    found.dataset = {**shared, "annotations": [_detection(r, i, kind) for i, r in enumerate(results, 1)]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, kind)
        evaluation.params.maxDets = [max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0]


def _detection(result: Mapping[str, Any], number: int, kind: str) -> dict[str, Any]:
    from pycocotools import mask

    box = result["bbox"] if "bbox" in result else mask.toBbox(result["segmentation"]).tolist()
    # A result's area decides in which range of areas it is when nothing matches it: that of what is compared.
    area = box[2] * box[3] if kind == "bbox" else int(mask.area(result["segmentation"]))
    return {**result, "id": number, "bbox": box, "area": area, "iscrowd": 0}


def _points(values: np.ndarray) -> float | None:
    defined = values[values > -1]
    return 100 * float(defined.mean()) if defined.size else None
