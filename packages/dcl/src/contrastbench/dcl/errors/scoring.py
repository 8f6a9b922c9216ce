"""Mask AP with the COCO API, evaluated image by image and accumulated once."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from contrastbench.dcl.errors.regions import Rle

MAX_DETECTIONS = 100
"""How many predictions of an image and category the COCO evaluation looks at, those of the highest score."""

ACCUMULATED = ("dtScores", "dtMatches", "dtIgnore", "gtIgnore")

Evaluations = list[list[dict[str, Any] | None]]
"""What accumulation needs to know: of each category, of each image in ascending order of its id."""


class MaskOf(NamedTuple):
    """A mask in an image, of an instance or a prediction.

    Attributes:
        image: the image's id.
        category: the category's id.
        mask: the mask.
        crowd: whether it is a crowd region, which the evaluation ignores.
        score: of a prediction, its confidence.
    """

    image: int
    category: int
    mask: Rle
    crowd: bool = False
    score: float = 0.0


class AveragePrecision(NamedTuple):
    """AP over IoU thresholds 0.50 to 0.95, in points. None where there is no ground truth.

    Attributes:
        overall: the mean over categories.
        per_category: in the order of the category ids.
    """

    overall: float | None
    per_category: tuple[float | None, ...]


def scored(predictions: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return which predictions of one image the evaluation looks at: ``MAX_DETECTIONS`` of a category, in given order.

    Args:
        predictions: COCO results of one image.
    """
    by_category: dict[int, list[int]] = {}
    for place, prediction in enumerate(predictions):
        by_category.setdefault(prediction["category_id"], []).append(place)
    kept: list[int] = []
    for places in by_category.values():
        kept += sorted(places, key=lambda place: -predictions[place]["score"])[:MAX_DETECTIONS]
    return sorted(kept)


def evaluate(
    image_ids: Sequence[int], category_ids: Sequence[int], instances: Iterable[MaskOf], predictions: Iterable[MaskOf]
) -> Evaluations:
    """Compare predictions with the ground truth of some images, for :func:`accumulate`.

    Args:
        image_ids: the images, in ascending order.
        category_ids: all categories of the data, in ascending order.
        instances: their ground truth, crowd regions too.
        predictions: their predictions, in the order in which equal scores are to be ranked.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = _coco(image_ids, category_ids, instances)
        evaluation = COCOeval(ground_truth, _coco(image_ids, category_ids, predictions), "segm")
        _set_parameters(evaluation, image_ids, category_ids)
        evaluation.evaluate()
    found = iter(evaluation.evalImgs)
    return [[_compact(next(found)) for _ in image_ids] for _ in category_ids]


def reevaluate(
    before: Evaluations,
    image_ids: Sequence[int],
    category_ids: Sequence[int],
    instances: Iterable[MaskOf],
    old: Sequence[MaskOf],
    new: Sequence[MaskOf],
) -> Evaluations:
    """Evaluate predictions again of which some were replaced: only their images and categories need it.

    Args:
        before: from :func:`evaluate`, of the old predictions.
        image_ids: as there.
        category_ids: as there.
        instances: as there.
        old: the predictions as they were.
        new: the predictions as they are, in the same order; those that are the same object did not change.
    """
    changed = {(n.image, n.category) for o, n in zip(old, new, strict=True) if n is not o}
    again = evaluate(
        image_ids,
        category_ids,
        [mask for mask in instances if (mask.image, mask.category) in changed],
        [mask for mask in new if (mask.image, mask.category) in changed],
    )
    return [
        [again[c][i] if (image, category) in changed else before[c][i] for i, image in enumerate(image_ids)]
        for c, category in enumerate(category_ids)
    ]


def accumulate(parts: Sequence[Evaluations], image_ids: Sequence[int], category_ids: Sequence[int]) -> AveragePrecision:
    """Return the AP over images that were evaluated in parts; the same as of one evaluation of all.

    Args:
        parts: from :func:`evaluate`, in the order of the image ids.
        image_ids: all images, in ascending order.
        category_ids: all categories, in ascending order.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(iouType="segm")
        _set_parameters(evaluation, image_ids, category_ids)
        evaluation.evalImgs = [e for c in range(len(category_ids)) for part in parts for e in part[c]]
        evaluation._paramsEval = copy.deepcopy(evaluation.params)
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 0]
    return AveragePrecision(_mean(precision), tuple(_mean(precision[:, :, c]) for c in range(len(category_ids))))


def _coco(image_ids: Sequence[int], category_ids: Sequence[int], masks: Iterable[MaskOf]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": 0, "width": 0} for i in image_ids],
        "categories": [{"id": c} for c in category_ids],
        "annotations": [
            {
                "id": number,  # from 1: the evaluation takes a match with 0 for none
                "image_id": m.image,
                "category_id": m.category,
                "segmentation": m.mask,
                "area": 0,  # no matter: all sizes count
                "iscrowd": int(m.crowd),
                "score": m.score,
            }
            for number, m in enumerate(masks, 1)
        ],
    }
    coco.createIndex()
    return coco


def _set_parameters(evaluation: COCOeval, image_ids: Sequence[int], category_ids: Sequence[int]) -> None:
    parameters = evaluation.params
    parameters.imgIds, parameters.catIds = list(image_ids), list(category_ids)
    # AP is over objects of all sizes; the other ranges would take three quarters of the time.
    parameters.areaRng, parameters.areaRngLbl = parameters.areaRng[:1], parameters.areaRngLbl[:1]
    parameters.maxDets = [MAX_DETECTIONS]


def _compact(found: dict[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    kept = {key: found[key] for key in ACCUMULATED}
    kept["dtMatches"] = kept["dtMatches"] != 0
    return kept


def _mean(precision: np.ndarray) -> float | None:
    defined = precision[precision > -1]
    return 100 * float(defined.mean()) if defined.size else None
