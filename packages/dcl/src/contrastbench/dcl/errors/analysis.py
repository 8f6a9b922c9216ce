"""The error analysis of a whole set of results: section 3 of the DCL paper."""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from contrastbench.core.data.coco import read_ground_truth, read_results
from contrastbench.core.errors import unknown_name
from contrastbench.dcl.errors.correction import UNMATCHED_RULES, AnnotatedImage, correct
from contrastbench.dcl.errors.report import ErrorScores, MaskErrorReport, MatchedPrediction
from contrastbench.dcl.errors.scoring import Evaluations, accumulate, evaluate, reevaluate
from contrastbench.dcl.errors.split import KINDS

Progress = Callable[[int, int], None]

UNCORRECTED = "uncorrected"
IMAGES_A_PART = 64
IMAGES_A_WORKER = 256  # fewer take no longer than a process takes to start


def analyse(
    ground_truth: str | Path | Mapping[str, Any],
    results: str | Path | Sequence[Mapping[str, Any]],
    *,
    unmatched: str = "leave",
    progress: Progress | None = None,
    workers: int = 1,
) -> MaskErrorReport:
    """Say what each kind of mask error costs in AP.

    Each prediction is matched to the ground truth of its category with the largest mask IoU, if that is at least 0.1.
    Its error pixels are split into fFP, bFP and FN (Eq. 1), the masks of all matched predictions are corrected of one
    kind, and the results are scored again: delta-AP of the kind is the AP gained (Eq. 2).

    Args:
        ground_truth: a COCO file, or its content.
        results: a COCO results file of masks, or its content.
        unmatched: what is done with predictions that match nothing. "leave" leaves them alone, as the paper says.
            "last" repeats the published tool, see :func:`~contrastbench.dcl.errors.correction.correct`.
        progress: called with images done and images in all.
        workers: processes at most to divide the images among; the report is the same. With more than one, call it
            from a script that guards its entry (``if __name__ == "__main__"``).

    Raises:
        InputError: a file that is not what it should be, or an unknown ``unmatched``.
    """
    if unmatched not in UNMATCHED_RULES:
        raise unknown_name("rule for unmatched predictions", unmatched, UNMATCHED_RULES)
    ground_truth = read_ground_truth(ground_truth)
    return analyse_checked(ground_truth, read_results(results, ground_truth), unmatched, progress, workers)


def analyse_checked(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    unmatched: str = "leave",
    progress: Progress | None = None,
    workers: int = 1,
) -> MaskErrorReport:
    """Do what :func:`analyse` does with data that were read and checked already (seconds, of a large set).

    Args:
        ground_truth: from :func:`~contrastbench.core.data.coco.read_ground_truth`.
        results: from :func:`~contrastbench.core.data.coco.read_results`.
        unmatched: as there.
        progress: as there.
        workers: as there.
    """
    categories = sorted(ground_truth["categories"], key=lambda category: category["id"])
    category_ids = [category["id"] for category in categories]
    images = annotated_images(ground_truth, results)

    parts = [
        _Part(images[start : start + IMAGES_A_PART], category_ids, unmatched)
        for start in range(0, len(images), IMAGES_A_PART)
    ]
    outcomes, done = [], 0
    for part, outcome in zip(parts, _carry_out(parts, workers), strict=True):
        outcomes.append(outcome)
        done += len(part.images)
        if progress is not None:
            progress(done, len(images))

    image_ids = [image.id for image in images]
    precision = {
        name: accumulate([outcome.evaluations[name] for outcome in outcomes], image_ids, category_ids)
        for name in (UNCORRECTED, *KINDS)
    }
    predictions = sum(outcome.predictions for outcome in outcomes)
    return MaskErrorReport(
        overall=_scores({name: value.overall for name, value in precision.items()}),
        per_class={
            category["name"]: _scores({name: value.per_category[c] for name, value in precision.items()})
            for c, category in enumerate(categories)
        },
        matches=tuple(match for outcome in outcomes for match in outcome.matches),
        predictions=predictions,
        beyond_limit=len(results) - predictions,
        unmatched_rule=unmatched,
    )


def annotated_images(ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> list[AnnotatedImage]:
    """Bring together each image's ground truth and results, in ascending order of the images' ids."""
    annotations, predictions = _by_image(ground_truth["annotations"]), _by_image(results)
    return [
        AnnotatedImage(i["id"], i["height"], i["width"], annotations[i["id"]], predictions[i["id"]])
        for i in sorted(ground_truth["images"], key=lambda image: image["id"])
    ]


def _by_image(entries: Sequence[Mapping[str, Any]]) -> dict[int, list[tuple[int, Mapping[str, Any]]]]:
    found: dict[int, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for place, entry in enumerate(entries):
        found[entry["image_id"]].append((place, entry))
    return found


class _Part(NamedTuple):
    images: list[AnnotatedImage]
    category_ids: list[int]
    unmatched: str


class _Outcome(NamedTuple):
    evaluations: dict[str, Evaluations]
    matches: list[MatchedPrediction]
    predictions: int


def _carry_out(parts: Sequence[_Part], workers: int) -> Iterator[_Outcome]:
    workers = min(workers, sum(len(part.images) for part in parts) // IMAGES_A_WORKER)
    if workers <= 1:
        yield from map(_analyse_part, parts)
        return
    # spawned, not forked: a fork of a process that runs threads can hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_analyse_part, parts)


def _analyse_part(part: _Part) -> _Outcome:
    images = [correct(image, part.unmatched) for image in part.images]
    image_ids = [image.id for image in part.images]
    instances = [mask for image in images for mask in image.instances]
    predictions = [mask for image in images for mask in image.predictions]
    before = evaluate(image_ids, part.category_ids, instances, predictions)
    evaluations = {UNCORRECTED: before}
    for kind in KINDS:
        corrected = [mask for image in images for mask in image.corrected[kind]]
        evaluations[kind] = reevaluate(before, image_ids, part.category_ids, instances, predictions, corrected)
    return _Outcome(evaluations, [match for image in images for match in image.matches], len(predictions))


def _scores(ap: Mapping[str, float | None]) -> ErrorScores:
    base = ap[UNCORRECTED]
    delta = {kind: None if base is None or (gained := ap[kind]) is None else gained - base for kind in KINDS}
    return ErrorScores(base, delta)
