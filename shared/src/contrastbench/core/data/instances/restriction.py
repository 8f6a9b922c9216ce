"""Some of a source's categories, by name, by frequency or as a known set; and all of them as one.

A class-agnostic network is trained on a few categories as one: the frequent ones of the scenes, COCO's 80 of LVIS,
PASCAL VOC's 20 of COCO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from contrastbench.core.data.coco import restricted
from contrastbench.core.data.instances.source import SPLITS, InstanceSource
from contrastbench.core.data.taxonomies import COCO_SYNSETS, VOC_IN_COCO
from contrastbench.core.errors import InputError, unknown_name

Selection = str | Sequence[str] | Mapping[str, Any]
"""``"all"``; ``"coco"`` (COCO's 80, by name or by LVIS's synset) or ``"voc"`` (PASCAL VOC's 20, by COCO's names); names
of categories; or a mapping of ``frequency`` (letters of LVIS's frequencies, as ``"f"`` or ``"fc"``) and ``without``
(names or supercategories that are left out of it)."""

OBJECT = "object"
"""Name of the category that all are merged into."""

_SETS = ("all", "coco", "voc")
_KEYS = ("frequency", "without")
_FREQUENCIES = "fcr"


def select_categories(ground_truth: Mapping[str, Any], selection: Selection) -> tuple[int, ...]:
    """Return the ids of the categories that are meant, ascending.

    Args:
        ground_truth: a COCO dict; for frequencies or synsets, one with LVIS's fields.
        selection: which.

    Raises:
        InputError: there is no such category, set or frequency, or none is left.
    """
    categories = ground_truth["categories"]
    if isinstance(selection, str):
        chosen = _of_set(categories, selection)
    elif isinstance(selection, Mapping):
        chosen = _by_frequency(categories, selection)
    else:
        known = {category["name"]: category["id"] for category in categories}
        for name in selection:
            if name not in known:
                raise unknown_name("category", str(name), known)
        chosen = [known[name] for name in selection]
    if not chosen:
        raise InputError(f"of the {len(categories)} categories none is meant by {_shown(selection)}; select others")
    return tuple(sorted(set(chosen)))


def with_categories(source: InstanceSource, selection: Selection) -> InstanceSource:
    """Return a source with some of its categories alone, and the images that show any of them.

    An image without them would teach a network that all in it is background.

    Args:
        source: the source.
        selection: which.

    Raises:
        InputError: as of :func:`select_categories`, or nothing of a split is left.
    """
    ids = select_categories(source.train, selection)
    parts: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        whole = source.ground_truth(split)
        entries = [entry for entry in whole["annotations"] if entry["category_id"] in ids]
        shown = {entry["image_id"] for entry in entries if not entry.get("iscrowd", 0)}
        if not shown:
            raise InputError(
                f"{source.name}: no image of {split} shows any of the {len(ids)} categories meant by "
                f"{_shown(selection)}; select others, or take more images"
            )
        images = [image for image in whole["images"] if image["id"] in shown]
        annotations = [entry for entry in entries if entry["image_id"] in shown]
        parts[split] = restricted({**whole, "images": images, "annotations": annotations}, ids)
    names = dict(zip(source.category_ids, source.classes, strict=True))
    classes = tuple(names[number] for number in ids)
    return replace(source, classes=classes, category_ids=ids, train=parts["train"], val=parts["val"])


def one_class(source: InstanceSource, name: str = OBJECT) -> InstanceSource:
    """Return a source whose categories are merged into one, of id 1.

    Args:
        source: the source.
        name: of the category.
    """
    parts = {
        split: {
            **source.ground_truth(split),
            "annotations": [{**entry, "category_id": 1} for entry in source.ground_truth(split)["annotations"]],
            "categories": [{"id": 1, "name": name}],
        }
        for split in SPLITS
    }
    return replace(source, classes=(name,), category_ids=(1,), train=parts["train"], val=parts["val"])


def _of_set(categories: Sequence[Mapping[str, Any]], name: str) -> list[int]:
    if name not in _SETS:
        raise unknown_name("set of categories", name, _SETS)
    if name == "all":
        return [category["id"] for category in categories]
    if name == "coco" and all("synset" in category for category in categories):
        synsets = set(COCO_SYNSETS.values())
        return [category["id"] for category in categories if category["synset"] in synsets]
    names = set(COCO_SYNSETS) if name == "coco" else set(VOC_IN_COCO.values())
    return [category["id"] for category in categories if category["name"] in names]


def _by_frequency(categories: Sequence[Mapping[str, Any]], selection: Mapping[str, Any]) -> list[int]:
    for key in selection:
        if key not in _KEYS:
            raise unknown_name("way to select categories", str(key), _KEYS)
    letters = selection.get("frequency", _FREQUENCIES)
    if not isinstance(letters, str) or not letters or set(letters) - set(_FREQUENCIES):
        raise InputError(f"the frequency of categories is {letters!r}; expected some of the letters f, c and r")
    if "frequency" in selection and not all("frequency" in category for category in categories):
        raise InputError(
            "categories are selected by frequency, and these have none; select them by name, or take data in LVIS's "
            "form (layout=lvis of the scenes)"
        )
    without = set(selection.get("without") or ())
    known = {c["name"] for c in categories} | {c["supercategory"] for c in categories if "supercategory" in c}
    for name in sorted(without - known):
        raise unknown_name("category or supercategory", str(name), known)
    return [
        category["id"]
        for category in categories
        if category.get("frequency", letters) in letters
        and category["name"] not in without
        and category.get("supercategory") not in without
    ]


def _shown(selection: Selection) -> str:
    return f"'{selection}'" if isinstance(selection, str) else str(selection)
