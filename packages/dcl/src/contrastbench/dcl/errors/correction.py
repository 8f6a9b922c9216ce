"""One image: its predictions matched, and corrected of each kind of error in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as coco_mask

from contrastbench.core.data.coco import to_rle
from contrastbench.dcl.errors.matching import UNMATCHED, match
from contrastbench.dcl.errors.regions import ImageRegions
from contrastbench.dcl.errors.report import MatchedPrediction
from contrastbench.dcl.errors.scoring import MaskOf, scored
from contrastbench.dcl.errors.split import KINDS

UNMATCHED_RULES = ("leave", "last")
"""What can be done with unmatched predictions: leave them alone, or take the image's last instance for theirs."""


@dataclass(frozen=True)
class AnnotatedImage:
    """An image's ground truth and results, as they are in the COCO files, each with its place there.

    Attributes:
        id: the image's id.
        height: in pixels.
        width: in pixels.
        annotations: place and COCO annotation of its ground truth.
        results: place and COCO result of its predictions.
    """

    id: int
    height: int
    width: int
    annotations: Sequence[tuple[int, Mapping[str, Any]]]
    results: Sequence[tuple[int, Mapping[str, Any]]]


@dataclass(frozen=True)
class CorrectedImage:
    """An image's masks, ready to be scored.

    Attributes:
        instances: the ground truth, crowd regions too.
        predictions: as they are.
        corrected: by kind, all predictions, those that are corrected with the mask they then have.
        matches: the matched predictions and their error pixels.
    """

    instances: list[MaskOf]
    predictions: list[MaskOf]
    corrected: dict[str, list[MaskOf]]
    matches: list[MatchedPrediction]


def correct(image: AnnotatedImage, unmatched: str) -> CorrectedImage:
    """Match the predictions of an image and correct their errors.

    Args:
        image: the image.
        unmatched: "leave" leaves unmatched predictions and the pixels of crowd regions alone. "last" does what the
            published tool does: there, an unmatched prediction is corrected as if it were matched to the image's last
            instance in the order of category ids, and crowd regions count as background.
    """
    truth = [_mask_of(image, annotation) for _, annotation in image.annotations]
    results = [image.results[place] for place in scored([result for _, result in image.results])]
    predictions = [_mask_of(image, result) for _, result in results]

    kept = [place for place, mask in enumerate(truth) if not mask.crowd]
    instances = [truth[place] for place in kept]
    matched = match(
        [p.mask for p in predictions],
        [p.category for p in predictions],
        [i.mask for i in instances],
        [i.category for i in instances],
    ).tolist()

    crowd = [mask.mask for mask in truth if mask.crowd] if unmatched == "leave" else []
    regions = ImageRegions([i.mask for i in instances], crowd, image.height, image.width)
    last = max(range(len(instances)), key=lambda i: (instances[i].category, i), default=UNMATCHED)

    corrected: dict[str, list[MaskOf]] = {kind: list(predictions) for kind in KINDS}
    matches = []
    for place, prediction in enumerate(predictions):
        target = last if matched[place] == UNMATCHED and unmatched == "last" else matched[place]
        if target == UNMATCHED:
            continue
        masks = regions.corrected(prediction.mask, target)
        for kind, mask in masks.items():
            corrected[kind][place] = prediction._replace(mask=mask)
        if matched[place] != UNMATCHED:
            before, *after = coco_mask.area([prediction.mask, *(masks[kind] for kind in KINDS)]).tolist()
            pixels = [abs(area - before) for area in after]
            matches.append(MatchedPrediction(results[place][0], image.annotations[kept[target]][0], *pixels))
    return CorrectedImage(truth, predictions, corrected, matches)


def _mask_of(image: AnnotatedImage, entry: Mapping[str, Any]) -> MaskOf:
    return MaskOf(
        image=image.id,
        category=entry["category_id"],
        mask=to_rle(entry["segmentation"], image.height, image.width),
        crowd=bool(entry.get("iscrowd", 0)),
        score=entry.get("score", 0.0),
    )
