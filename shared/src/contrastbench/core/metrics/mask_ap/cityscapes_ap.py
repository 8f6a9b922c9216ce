"""Average precision of masks as the evaluation of Cityscapes defines it.

It differs from COCO's in what is ignored, and in the area under the curve:

- an instance of fewer than ``min_region`` pixels need not be found, and a group is none;
- a result that overlaps no instance of its class enough is wrong, unless a share of it above the threshold lies on
  pixels that do not count: void, groups of its class, and instances of its class that are too small;
- of several results that overlap one instance enough, that of the highest score is right, the others are wrong;
- the curve has one point for each score that occurs, one at recall 0 with precision 1, and straight lines between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contrastbench.core.data.coco import image_sizes, read_ground_truth, read_results, to_rle
from contrastbench.core.errors import InputError

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
"""Overlap (IoU) above which a result is right."""


class CityscapesAP:
    """The average precision of Cityscapes, in points.

    Computed from COCO dicts; crowds are the groups, and ``void`` of an image what counts for nothing.

    Args:
        min_region: pixels that an instance must have to count. Cityscapes has 100 in images of 1024 by 2048.

    Raises:
        InputError: ``min_region`` is not a whole number of 0 or more.
    """

    def __init__(self, min_region: int = 100) -> None:
        if isinstance(min_region, bool) or not isinstance(min_region, int) or min_region < 0:
            raise InputError(f"CityscapesAP: min_region is {min_region}; expected a number of pixels, 0 or more")
        self.min_region = min_region

    def __call__(self, ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the scores of results.

        Args:
            ground_truth: a COCO dict.
            results: COCO results with masks.

        Returns:
            Points, 0 to 100, or None where there is nothing to find: ``AP_cityscapes`` over all thresholds and
            ``AP50_cityscapes`` at 0.5, means over the classes that have an instance to find; ``per_class``
            ``{"AP_cityscapes": {name: points}}``; ``evaluation``, how it was done.

        Raises:
            InputError: ground truth or results are not as they must be.
        """
        truth = read_ground_truth(ground_truth)
        overlaps = _overlaps(truth, read_results(results, truth), self.min_region)
        categories = sorted(truth["categories"], key=lambda category: category["id"])
        scores = np.array([_average_precisions(overlaps[category["id"]]) for category in categories])
        region = "" if self.min_region == 100 else f", regions from {self.min_region} pixels"
        return {
            "AP_cityscapes": _points(scores),
            "AP50_cityscapes": _points(scores[:, 0]),
            "per_class": {
                "AP_cityscapes": {
                    category["name"]: _points(own) for category, own in zip(categories, scores, strict=True)
                }
            },
            "evaluation": f"mask AP, Cityscapes style{region}",
        }


@dataclass(frozen=True)
class Overlaps:
    """The results of a class in an image, and what they lie on.

    Attributes:
        score: float64 ``[D]``.
        iou: of results with instances, groups and small ones among them, float64 ``[D, G]``.
        counted: instances that are to be found, bool ``[G]``.
        ignored: share of each result on pixels that do not count, float64 ``[D]``.
    """

    score: np.ndarray
    iou: np.ndarray
    counted: np.ndarray
    ignored: np.ndarray


def average_precision(scores: np.ndarray, right: np.ndarray, instances: int) -> float:
    """Return the area under precision over recall, by trapezoids.

    Args:
        scores: of results that are right or wrong, float64 ``[D]``.
        right: bool ``[D]``.
        instances: number of instances to be found, 1 or more.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # of each score that occurs
    hits = np.cumsum(right[order])[last]
    recall = np.concatenate([[0.0], hits / instances])
    precision = np.concatenate([[1.0], hits / (last + 1)])
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def _average_precisions(images: Sequence[Overlaps]) -> np.ndarray:
    """Return the average precision of a class at each threshold; NaN where no instance is to be found."""
    instances = sum(int(image.counted.sum()) for image in images)
    if not instances:
        return np.full(len(THRESHOLDS), np.nan)
    scores = []
    for threshold in THRESHOLDS:
        judged = [_judge(image, threshold) for image in images]
        score, right = (np.concatenate(parts) for parts in zip(*judged, strict=True))
        scores.append(average_precision(score, right, instances))
    return np.array(scores)


def _judge(image: Overlaps, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and rightness of the results that count at a threshold."""
    enough = image.iou > threshold
    hits = enough & image.counted
    ranked = np.where(hits, image.score[:, None], -np.inf)
    right = hits & (np.arange(len(hits))[:, None] == ranked.argmax(0)) if len(hits) else hits
    # Instances that lie over each other, as Cityscapes has none, may make one result right more than once.
    result, instance = np.nonzero(hits)
    stray = ~enough.any(1) & (image.ignored <= threshold)
    score = np.concatenate([image.score[result], image.score[stray]])
    return score, np.concatenate([right[result, instance], np.zeros(int(stray.sum()), bool)])


def _overlaps(
    ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], min_region: int
) -> dict[int, list[Overlaps]]:
    """Return the overlaps of each class in the images where it is, by category id."""
    sizes = image_sizes(ground_truth)
    void = {
        image["id"]: to_rle(image["void"], *sizes[image["id"]]) for image in ground_truth["images"] if "void" in image
    }
    truths: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    found: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in ground_truth["annotations"]:
        truths[annotation["category_id"], annotation["image_id"]].append(annotation)
    for result in results:
        found[result["category_id"], result["image_id"]].append(result)
    overlaps: dict[int, list[Overlaps]] = defaultdict(list)
    for category, image in sorted(truths.keys() | found.keys()):
        key = (category, image)
        masks = [to_rle(annotation["segmentation"], *sizes[image]) for annotation in truths[key]]
        groups = np.array([bool(annotation["iscrowd"]) for annotation in truths[key]], bool)
        overlaps[category].append(_compare(found[key], masks, groups, void.get(image), min_region))
    return overlaps


def _compare(
    results: Sequence[Mapping[str, Any]],
    truths: list[dict[str, Any]],
    groups: np.ndarray,
    void: dict[str, Any] | None,
    min_region: int,
) -> Overlaps:
    from pycocotools import mask

    results = [result for result in results if mask.area(result["segmentation"])]  # an empty mask is none
    masks = [result["segmentation"] for result in results]
    area = np.array([mask.area(rle) for rle in masks], np.float64)
    truth_area = np.array([mask.area(truth) for truth in truths], np.float64)
    shared = _shared(masks, area, truths)
    small = truth_area < min_region
    # A small group counts twice, as in the script of Cityscapes.
    ignored = shared @ (groups.astype(np.float64) + small)
    if void is not None:
        ignored += _shared(masks, area, [void])[:, 0]
    score = np.array([float(result["score"]) for result in results], np.float64)
    iou = shared / (area[:, None] + truth_area - shared)
    return Overlaps(score, iou, ~groups & ~small, ignored / area)


def _shared(masks: list[Any], area: np.ndarray, others: list[Any]) -> np.ndarray:
    """Return the pixels that masks share with others, float64 ``[D, G]``."""
    from pycocotools import mask

    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    # For a crowd the API returns the share of the first mask that lies on the second.
    return np.rint(mask.iou(masks, others, [1] * len(others)) * area[:, None])


def _points(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else 100 * float(np.nanmean(values))
