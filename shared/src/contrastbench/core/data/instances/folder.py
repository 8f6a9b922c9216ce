"""One folder of images with one file of annotations, divided by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrastbench.core.data.coco import read_ground_truth
from contrastbench.core.data.instances.source import SPLITS, InstanceSource, instance_source
from contrastbench.core.data.sources.files import root_folder
from contrastbench.core.errors import InputError


def folder(
    root: str | Path | None = None, val_every: int = 3, annotations: str = "instances.json", images: str = "images"
) -> InstanceSource:
    """Return a folder of images with COCO annotations. Every ``val_every``-th image by file name validates.

    Args:
        root: folder with ``instances.json`` and ``images``.
        val_every: 2 or more; of images 1, 2, 3, ... in the order of their names, those that it divides are val.
        annotations: the file of annotations, below ``root``.
        images: the folder of images, below ``root``.

    Raises:
        InputError: a file is missing, the annotations are not as they must be, or a split would be empty.
    """
    if isinstance(val_every, bool) or not isinstance(val_every, int) or val_every < 2:
        raise InputError(f"data.val_every is {val_every}; expected a whole number, 2 or more")
    base = root_folder("the folder of instances", root, f"{annotations} (COCO) and {images}/ with its images")
    whole = read_ground_truth(base / annotations)
    for image in whole["images"]:
        if not isinstance(image.get("file_name"), str):
            raise InputError(
                f"'{base / annotations}': image {image['id']} has no file_name; expected the name of its file in "
                f"'{base / images}'"
            )
    ordered = sorted(whole["images"], key=lambda image: image["file_name"])
    validating = {image["id"] for number, image in enumerate(ordered, 1) if number % val_every == 0}
    train, val = (_part(whole, ordered, validating, split) for split in SPLITS)
    for split, part in zip(SPLITS, (train, val), strict=True):
        if not part["images"] or not part["annotations"]:
            raise InputError(
                f"'{base / annotations}' has {len(ordered)} images, of which {len(part['images'])} with "
                f"{len(part['annotations'])} annotations go to {split} when every {val_every}th validates "
                "(data.val_every); both splits need some"
            )
    return instance_source(base.name, base, train, val, dict.fromkeys(SPLITS, base / images))


def _part(
    ground_truth: Mapping[str, Any], ordered: list[dict[str, Any]], validating: set[int], split: str
) -> dict[str, Any]:
    def belongs(number: int) -> bool:
        return (number in validating) == (split == "val")

    return {
        **ground_truth,
        "images": [image for image in ordered if belongs(image["id"])],
        "annotations": [entry for entry in ground_truth["annotations"] if belongs(entry["image_id"])],
    }
