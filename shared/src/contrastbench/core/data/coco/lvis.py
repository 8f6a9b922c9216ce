"""What LVIS has beyond COCO: federated annotations, and categories by how often they occur."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contrastbench.core.data.coco.entries import Entries, is_whole
from contrastbench.core.errors import InputError

FREQUENCIES = ("r", "c", "f")
"""Rare, common and frequent: categories seen in up to 10, up to 100 and more training images."""

_PLACES = {
    "v0.5": {"airplane": 4, "lamp": 637, "pillow": 817, "zucchini": 1230},
    "v1": {"airplane": 3, "lamp": 626, "pillow": 804, "zucchini": 1203},
}
"""Ids of a few categories, within COCO's and outside: the versions number theirs anew."""


def lvis_version(ground_truth: Mapping[str, Any]) -> str | None:
    """Return the version of LVIS that checked ground truth is of, told by ids of its categories.

    A part of LVIS's categories is enough where one that tells is among them.

    Args:
        ground_truth: from ``read_ground_truth``.

    Returns:
        ``"v0.5"`` (1,230 categories), ``"v1"`` (1,203), or None for other data, such as the embedded scenes.
    """
    places = {category["name"]: category["id"] for category in ground_truth["categories"]}
    for version, known in _PLACES.items():
        told = [places[name] == place for name, place in known.items() if name in places]
        if told and all(told):
            return version
    return None


def require_lvis(ground_truth: Mapping[str, Any], version: str | None = None) -> None:
    """Check that ground truth has what the evaluation of LVIS needs.

    Args:
        ground_truth: from ``read_ground_truth``.
        version: of LVIS that it must be, ``"v0.5"`` or ``"v1"``; None for any.

    Raises:
        InputError: an image has no lists of negative or not exhaustively annotated categories, or these name
            categories that are not there; a category has no frequency; there are crowds; or it is of another version.
    """
    where = "the ground truth"
    images = Entries(ground_truth["images"], "image", where)
    known = {category["id"] for category in ground_truth["categories"]}
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        expected = "a list of category ids as LVIS has it (COCO's own files have none: name a file lvis_*.json)"
        for index, listed in enumerate(images.column(key, expected, _is_list_of_ids)):
            strangers = set(listed) - known
            if strangers:
                raise images.error(
                    index,
                    f"names the category {min(strangers)} in {key}, and there is no such category; expected ids of "
                    "its own file's categories (v0.5 and v1 number theirs differently); take both from one file",
                )
    categories = Entries(ground_truth["categories"], "category", where)
    categories.column("frequency", f"one of {', '.join(FREQUENCIES)} as LVIS has it", FREQUENCIES.__contains__)
    annotations = Entries(ground_truth["annotations"], "annotation", where)
    annotations.column("iscrowd", "0: LVIS has no crowds", lambda value: not value)
    found = lvis_version(ground_truth)
    if version is not None and found != version:
        raise InputError(
            f"{where} is {f'LVIS {found}' if found else 'of no known version of LVIS'} with {len(known)} categories; "
            f"expected LVIS {version}, whose categories and ids differ; name its file, or ask for the version you have"
        )


def _is_list_of_ids(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(map(is_whole, value))
