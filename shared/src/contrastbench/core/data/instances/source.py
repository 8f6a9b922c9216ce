"""What a source of annotated instances is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrastbench.core.errors import InputError, unknown_name

SPLITS = ("train", "val")


@dataclass(frozen=True)
class InstanceSource:
    """A data set of images with instances.

    Attributes:
        name: short name, for messages and pages.
        root: the folder.
        classes: class names; a class's place is its index in training.
        category_ids: category id in the annotations of each class, ascending.
        train: COCO ground truth of the training split, as ``core.data.coco.read_ground_truth`` returns it.
        val: likewise of the validation split.
        image_root: by split, the folder that the images' ``file_name`` is relative to.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    train: Mapping[str, Any]
    val: Mapping[str, Any]
    image_root: Mapping[str, Path]

    def ground_truth(self, split: str) -> Mapping[str, Any]:
        """Return the annotations of ``train`` or ``val``."""
        splits = {"train": self.train, "val": self.val}
        if split not in splits:
            raise unknown_name("split", split, splits)
        return splits[split]

    def image_path(self, split: str, image: Mapping[str, Any]) -> Path:
        """Return the file of an entry of ``images`` of a split."""
        if split not in self.image_root:
            raise unknown_name("split", split, self.image_root)
        return self.image_root[split] / image["file_name"]


def instance_source(
    name: str, root: Path, train: Mapping[str, Any], val: Mapping[str, Any], image_root: Mapping[str, Path]
) -> InstanceSource:
    """Return a source after looking that its splits belong together and every image is there.

    Args:
        name: short name.
        root: the folder.
        train: checked ground truth.
        val: checked ground truth.
        image_root: by split, the folder of its images.

    Raises:
        InputError: the splits have other categories, an image has no file name, or a file is not there.
    """
    categories = {category["id"]: category["name"] for category in train["categories"]}
    others = {category["id"]: category["name"] for category in val["categories"]}
    if categories != others:
        number = min(key for key in categories.keys() | others.keys() if categories.get(key) != others.get(key))
        raise InputError(
            f"{name} in '{root}': category {number} is {_named(categories, number)} in train and "
            f"{_named(others, number)} in val; both splits must list the same categories"
        )
    ids = tuple(sorted(categories))
    source = InstanceSource(name, root, tuple(categories[number] for number in ids), ids, train, val, image_root)
    for split in SPLITS:
        _require_images(source, split)
    return source


def _named(categories: Mapping[int, str], number: int) -> str:
    return f"'{categories[number]}'" if number in categories else "not there"


def _require_images(source: InstanceSource, split: str) -> None:
    images = source.ground_truth(split)["images"]
    for image in images:
        if not isinstance(image.get("file_name"), str) or not image["file_name"]:
            raise InputError(
                f"{source.name} in '{source.root}': image {image['id']} of {split} has no file_name; expected the name "
                f"of its file in '{source.image_root[split]}'"
            )
    missing = [image for image in images if not source.image_path(split, image).is_file()]
    if missing:
        raise InputError(
            f"{source.name} in '{source.root}' is incomplete: {len(missing)} of the {len(images)} images of {split} "
            f"are not there, first '{source.image_path(split, missing[0])}'; data.root must name the folder of a "
            "whole copy"
        )
