"""A part of the categories alone, as for an evaluation on those that a network was never trained on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from contrastbench.core.errors import InputError

_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")  # LVIS's


def restricted(ground_truth: Mapping[str, Any], category_ids: Collection[int]) -> dict[str, Any]:
    """Return ground truth with the annotations of some categories alone, on all its images.

    An image that is left without an annotation stays: what is found there is wrong. The lists of categories that
    LVIS's images have are restricted too.

    Args:
        ground_truth: from ``read_ground_truth``.
        category_ids: those that are kept.

    Returns:
        A COCO dict. Ids are kept. ``ground_truth`` itself is not changed.

    Raises:
        InputError: a category is not there, or none of them has an annotation.
    """
    kept = set(category_ids)
    unknown = kept - {category["id"] for category in ground_truth["categories"]}
    if unknown:
        raise InputError(
            f"the category {min(unknown)} is not in the ground truth; expected ids of its categories; restrict it to "
            "some of these"
        )
    annotations = [entry for entry in ground_truth["annotations"] if entry["category_id"] in kept]
    if not annotations:
        raise InputError(
            f"none of the {len(kept)} categories has an annotation in these {len(ground_truth['images'])} images, so "
            "there is nothing to measure; expected at least one; take more images or other categories"
        )
    images = [
        {**image, **{key: [number for number in image[key] if number in kept] for key in _LISTS if key in image}}
        for image in ground_truth["images"]
    ]
    categories = [category for category in ground_truth["categories"] if category["id"] in kept]
    return {**ground_truth, "images": images, "annotations": annotations, "categories": categories}


def restricted_results(results: Sequence[Mapping[str, Any]], category_ids: Collection[int]) -> list[dict[str, Any]]:
    """Return the results that are of some categories, in their order."""
    kept = set(category_ids)
    return [dict(result) for result in results if result["category_id"] in kept]
