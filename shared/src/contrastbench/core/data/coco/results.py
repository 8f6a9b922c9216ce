"""COCO results, checked against their ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contrastbench.core.data.coco.entries import Entries, Progress, load
from contrastbench.core.data.coco.ground_truth import image_sizes
from contrastbench.core.data.coco.masks import as_text, to_rle
from contrastbench.core.data.coco.segmentations import check_segmentations, is_compressed
from contrastbench.core.errors import InputError


def read_results(
    source: str | Path | Sequence[Mapping[str, Any]], ground_truth: Mapping[str, Any], progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Return instance segmentation results that belong to ``ground_truth``.

    An empty list is fine: a network may find nothing.

    Args:
        source: a JSON file, or its content.
        ground_truth: from :func:`read_ground_truth`.
        progress: called with results checked and results in all.

    Returns:
        A list of ``image_id``, ``category_id``, ``segmentation`` (compressed run lengths, ``counts`` as text),
        ``score`` (finite), ``bbox`` where the source has it, and whatever else it has. Nothing of ``source`` is
        changed.

    Raises:
        InputError: it is not a list, or a result has no mask or score, a score is not finite, an image or category is
            not in the ground truth, or a mask does not decode or is not of its image's size. The message names the
            file and the entry.
    """
    given = not isinstance(source, (str, Path))
    where = "the results" if given else f"'{source}'"
    content = source if given else load(source, "results")  # type: ignore[arg-type]
    if isinstance(content, Mapping) or not isinstance(content, Sequence) or isinstance(content, (str, bytes)):
        raise InputError(
            f"{where} are not COCO results: expected a list of objects with image_id, category_id, segmentation and "
            f"score, got {'one object' if isinstance(content, Mapping) else type(content).__name__}; "
            "name the file of predictions, not of annotations"
        )
    entries = Entries(content, "result", where, key=None)
    sizes = image_sizes(ground_truth)
    categories = (category["id"] for category in ground_truth["categories"])
    advice = "these results are of other data, or of another split; name the ground truth they were made for"
    images = entries.references("image_id", sizes, "image in the ground truth", advice)
    entries.references("category_id", categories, "category in the ground truth", advice)
    entries.numbers("score", "a finite number")
    check_segmentations(entries, [sizes[image] for image in images], progress)
    entries.where_given("bbox").boxes()
    return [
        {**entry, "segmentation": _as_compressed(entry["segmentation"], *sizes[image])}
        for entry, image in zip(content, images, strict=True)
    ]


def _as_compressed(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    return as_text(segmentation if is_compressed(segmentation) else to_rle(segmentation, height, width))
