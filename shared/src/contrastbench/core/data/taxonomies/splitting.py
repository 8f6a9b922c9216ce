"""Which categories of a data set a network was trained on, and which are new to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contrastbench.core.data.taxonomies.coco_synsets import COCO_SYNSETS, VOC_IN_COCO
from contrastbench.core.errors import InputError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CategorySplit:
    """Categories by whether they are among known classes.

    Attributes:
        taxonomy: what the known classes are ("COCO"), for messages.
        classes: number of known classes.
        known: ids of the categories that are known classes, ascending.
        rest: ids of all others, ascending.
        missing: known classes that none of the categories is.
    """

    taxonomy: str
    classes: int
    known: tuple[int, ...]
    rest: tuple[int, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        missing = f" (not among them: {', '.join(self.missing)})" if self.missing else ""
        matched, categories = self.classes - len(self.missing), len(self.known) + len(self.rest)
        return (
            f"{matched} of {self.taxonomy}'s {self.classes} classes matched among {categories} categories{missing}; "
            f"{len(self.rest)} categories are outside {self.taxonomy}"
        )


def split_by_coco(categories: Iterable[Mapping[str, Any]]) -> CategorySplit:
    """Split LVIS's categories into COCO's 80 classes and the rest, by synset, and log how many matched.

    Args:
        categories: of LVIS, or of data in its form; mappings with ``id`` and ``synset``.

    Raises:
        InputError: a category has no synset.
    """
    return _split(categories, "synset", COCO_SYNSETS, "COCO")


def split_by_voc(categories: Iterable[Mapping[str, Any]]) -> CategorySplit:
    """Split COCO's categories into VOC's 20 classes and the rest (60 of COCO's 80), and log how many matched.

    Args:
        categories: of COCO; mappings with ``id`` and ``name``.

    Raises:
        InputError: a category has no name.
    """
    return _split(categories, "name", VOC_IN_COCO, "VOC")


def _split(
    categories: Iterable[Mapping[str, Any]], key: str, classes: Mapping[str, str], taxonomy: str
) -> CategorySplit:
    ids: dict[int, str] = {}
    for category in categories:
        if not isinstance(category.get(key), str):
            raise InputError(
                f"category {category.get('id')} ({category.get('name')}) has no {key}, by which categories are "
                f"matched with {taxonomy}'s classes; expected one for each; take the categories of the data's own file"
            )
        ids[category["id"]] = category[key]
    there, wanted = set(ids.values()), set(classes.values())
    split = CategorySplit(
        taxonomy,
        classes=len(classes),
        known=tuple(sorted(number for number, value in ids.items() if value in wanted)),
        rest=tuple(sorted(number for number, value in ids.items() if value not in wanted)),
        missing=tuple(name for name, value in classes.items() if value not in there),
    )
    _log.info("%s", split)
    return split
