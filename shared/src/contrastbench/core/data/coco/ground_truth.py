"""COCO ground truth, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contrastbench.core.data.coco.entries import Entries, Progress, is_whole, load
from contrastbench.core.data.coco.masks import to_rle
from contrastbench.core.data.coco.segmentations import check_segmentations
from contrastbench.core.errors import InputError

_PARTS = ("images", "annotations", "categories")
_TOLERANCE = 1.0  # pixels; boxes of polygons are drawn through pixel corners by some tools, centres by others


def read_ground_truth(source: str | Path | Mapping[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """Return COCO instance annotations in which everything is as the COCO API needs it.

    What an annotation may leave out is filled in: ``iscrowd`` 0, and ``bbox`` and ``area`` of its mask. What is given
    is left as it is; nothing of ``source`` is changed.

    Args:
        source: a JSON file, or its content.
        progress: called with annotations checked and annotations in all.

    Returns:
        A COCO dict with ``images`` (``id``, ``height``, ``width``, ..., where the data have it ``void``: pixels that
        count for nothing in the evaluation of Cityscapes, encoded as a mask), ``annotations`` (``id``, ``image_id``,
        ``category_id``, ``segmentation`` in any encoding, ``bbox`` [x, y, width, height] in pixels, ``area`` in
        pixels, ``iscrowd``, ...), ``categories`` (``id``, ``name``, ...) and whatever else the source has.

    Raises:
        InputError: it is not COCO ground truth, or it is empty, an id is there twice, an annotation names an image or
            category that is not there, its mask does not decode or is not of its image's size, or its box reaches
            more than a pixel outside the image. The message names the file and the entry.
    """
    where, content = ("the ground truth", source) if isinstance(source, Mapping) else (f"'{source}'", _load(source))
    if not isinstance(content, Mapping) or not all(isinstance(content.get(part), (list, tuple)) for part in _PARTS):
        got = "a list, as results are" if isinstance(content, list) else "something else"
        raise InputError(
            f"{where} is not COCO ground truth: expected an object with the lists images, annotations and categories, "
            f"got {got if not isinstance(content, Mapping) else f'the keys {sorted(map(str, content))}'}; "
            "name the file of annotations (such as instances_val2017.json)"
        )
    for part in _PARTS:
        if not content[part]:
            raise InputError(
                f"{where} is empty: its list of {part} has no entry, so there is nothing to train on or measure; "
                "name the file of a whole split"
            )
    sizes = _images(content["images"], where)
    categories = _categories(content["categories"], where)
    annotations = _annotations(content["annotations"], sizes, categories, where, progress)
    return {
        **content,
        "images": list(content["images"]),
        "annotations": annotations,
        "categories": list(content["categories"]),
    }


def image_sizes(ground_truth: Mapping[str, Any]) -> dict[int, tuple[int, int]]:
    """Return height and width of every image of checked ground truth by its id."""
    return {image["id"]: (image["height"], image["width"]) for image in ground_truth["images"]}


def _load(source: str | Path) -> Any:
    return load(source, "ground truth")


def _images(images: list[Any], where: str) -> dict[int, tuple[int, int]]:
    entries = Entries(images, "image", where)
    ids = entries.ids()
    heights, widths = (
        entries.column(key, "a number of pixels, 1 or more", lambda value: is_whole(value) and value > 0)
        for key in ("height", "width")
    )
    sizes = dict(zip(ids, zip(heights, widths, strict=True), strict=True))
    void = entries.where_given("void")
    check_segmentations(void, [sizes[image["id"]] for image in void.entries], key="void")
    return sizes


def _categories(categories: list[Any], where: str) -> list[int]:
    entries = Entries(categories, "category", where)
    ids = entries.ids()
    seen: set[str] = set()
    names = entries.column("name", "a name", lambda value: isinstance(value, str) and bool(value))
    for index, name in enumerate(names):
        if name in seen:
            raise entries.error(index, f"is named '{name}' as another is; scores are told apart by name; rename it")
        seen.add(name)
    return ids


def _annotations(
    annotations: list[Any],
    sizes: Mapping[int, tuple[int, int]],
    categories: list[int],
    where: str,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    entries = Entries(annotations, "annotation", where)
    entries.ids()
    advice = "add it, or remove the annotation"
    images = entries.references("image_id", sizes, "image", advice)
    entries.references("category_id", categories, "category", advice)
    own_sizes = [sizes[image] for image in images]
    check_segmentations(entries, own_sizes, progress)
    complete = Entries(
        [_completed(entry, *size) for entry, size in zip(annotations, own_sizes, strict=True)], "annotation", where
    )
    complete.column("iscrowd", "0 or 1", lambda value: value in (0, 1))
    negative = np.flatnonzero(complete.numbers("area", "the area in pixels, a finite number") < 0)
    if len(negative):
        raise complete.error(int(negative[0]), "has a negative area; expected pixels; correct it")
    _check_boxes(complete, np.array(own_sizes, np.float64))
    return list(complete.entries)


def _completed(annotation: Mapping[str, Any], height: int, width: int) -> dict[str, Any]:
    complete = {"iscrowd": 0, **annotation}
    if "bbox" not in complete or "area" not in complete:
        from pycocotools import mask

        rle = to_rle(annotation["segmentation"], height, width)
        complete.setdefault("bbox", mask.toBbox(rle).tolist())
        complete.setdefault("area", int(mask.area(rle)))
    return complete


def _check_boxes(entries: Entries, sizes: np.ndarray) -> None:
    boxes = entries.boxes()
    corner = boxes[:, :2] + boxes[:, 2:]
    outside = (boxes < -_TOLERANCE).any(1) | (boxes[:, 2:] < 0).any(1) | (corner > sizes[:, ::-1] + _TOLERANCE).any(1)
    if outside.any():
        index = int(outside.argmax())
        height, width = sizes[index].astype(int)
        raise entries.error(
            index,
            f"has the box {boxes[index].tolist()}, not inside its image of {height} x {width} pixels (height x "
            "width); expected [x, y, width, height] in pixels from the top left corner; correct it",
        )
