"""What a source of labelled images is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from contrastbench.core.errors import InputError, unknown_name

Pair = tuple[Path, Path]
"""An image and its label map."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class SegmentationSource:
    """A data set: what its files are, and what their labels mean.

    Attributes:
        name: short name, for messages.
        root: the folder.
        classes: class names; a class's place is its id in training.
        palette: RGB colour of each class.
        train: images of the training split with their label maps, in a fixed order.
        val: likewise of the validation split.
        label_map: id in the files to training id (or the ignore index); None where they are the same.
        ignore_index: label of pixels that count for nothing.
        test: images whose labels are kept back, in a fixed order; empty where there are none.
        instances: by split, the map of instance ids of each image, in the order of the split; whether the files are
            there is seen when they are asked for. Without the split where the data have none.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    label_map: Mapping[int, int] | None = None
    ignore_index: int = 255
    test: tuple[Path, ...] = ()
    instances: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def pairs(self, split: str) -> tuple[Pair, ...]:
        """Return the images of ``train`` or ``val`` with their label maps."""
        splits = {"train": self.train, "val": self.val}
        if split not in splits:
            raise unknown_name("split", split, splits)
        return splits[split]

    def images(self, split: str) -> tuple[Path, ...]:
        """Return the images of ``train``, ``val`` or ``test``.

        Raises:
            InputError: there is no such split, or the data have no test images.
        """
        if split != "test":
            if split not in ("train", "val"):
                raise unknown_name("split", split, ("train", "val", "test"))
            return tuple(image for image, _ in self.pairs(split))
        if not self.test:
            raise InputError(f"{self.name} in '{self.root}' has no test images; use the split val")
        return self.test

    def instance_maps(self, split: str) -> tuple[Path, ...]:
        """Return the map of instance ids of each image of a split, in the order of :meth:`pairs`.

        Raises:
            InputError: these data have none, or a file is missing.
        """
        pairs = self.pairs(split)
        if split not in self.instances:
            raise InputError(
                f"{self.name} has no maps of instance ids, which a metric of this evaluation needs; use data that "
                "have them (cityscapes, or scenes with layout=cityscapes), or leave the metric out"
            )
        maps = self.instances[split]
        missing = [(image, path) for (image, _), path in zip(pairs, maps, strict=True) if not path.is_file()]
        if missing:
            image, path = missing[0]
            raise InputError(
                f"{self.name} in '{self.root}' is incomplete: {len(missing)} images of {split} have no map of "
                f"instance ids, first '{image}', whose map should be '{path}'; restore it from a whole copy of the data"
            )
        return maps

    def lookup(self) -> np.ndarray:
        """Return training ids by id in the files: ``[256]`` (int64), -1 for ids that must not occur."""
        table = np.full(256, -1, np.int64)
        if self.label_map is None:
            table[: len(self.classes)] = np.arange(len(self.classes))
            table[self.ignore_index] = self.ignore_index
        else:
            table[list(self.label_map)] = list(self.label_map.values())
        return table
