"""The data that is discovered in: which of its categories are known, which are the long tail."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from contrastbench.core.data.coco import resized
from contrastbench.core.data.instances import (
    InstanceSource,
    open_instances,
    select_categories,
    verify_instances,
)
from contrastbench.core.data.instances.restriction import Selection
from contrastbench.core.errors import InputError
from contrastbench.longtail.contrast import Pictures

SPLITS = ("train", "val")


class Ground:
    """Annotated images, opened when they are first asked for.

    A category's place is its number among all, in the order of ids.

    Args:
        data: as :func:`~contrastbench.core.data.instances.open_instances` takes it.
        known: the categories that count as seen in pre-training.
    """

    def __init__(self, data: Mapping[str, Any], known: Selection) -> None:
        self.data, self.known = data, known
        size = data.get("size")
        self.size = None if size is None else (int(size[0]), int(size[1]))
        # Both are asked for more than once, and dear for large data.
        self.truth, self.pictures = cache(self._truth), cache(self._pictures)

    @cached_property
    def source(self) -> InstanceSource:
        """The data."""
        return open_instances(self.data)

    @cached_property
    def known_categories(self) -> tuple[int, ...]:
        """Ids of the categories that count as seen in pre-training."""
        return select_categories(self.source.train, self.known)

    @cached_property
    def long_tail(self) -> tuple[int, ...]:
        """Ids of all others."""
        return tuple(number for number in self.source.category_ids if number not in self.known_categories)

    @cached_property
    def places(self) -> dict[int, int]:
        """The place of each category by its id."""
        return {number: place for place, number in enumerate(self.source.category_ids)}

    @property
    def frequencies(self) -> dict[str, list[int]]:
        """Places of the rare, common and frequent categories of the long tail, where the data have frequencies."""
        of = {category["id"]: category.get("frequency") for category in self.source.train["categories"]}
        letters = [letter for letter in "rcf" if letter in of.values()]
        return {letter: [self.places[n] for n in self.long_tail if of[n] == letter] for letter in letters}

    def fingerprint(self) -> str:
        """Return what names the data by content, after reading all of them once."""
        return verify_instances(self.source)

    def check(self) -> None:
        """Look that there is a long tail in both splits.

        Raises:
            InputError: there is none.
        """
        name = self.source.name
        if not self.long_tail:
            raise InputError(
                f"all {len(self.source.classes)} categories of {name} are seen in pre-training, so there is no long "
                "tail to discover; select fewer under 'known'"
            )
        for split in SPLITS:
            annotations = self.source.ground_truth(split)["annotations"]
            if not any(entry["category_id"] in self.long_tail for entry in annotations):
                raise InputError(
                    f"{name}: no image of {split} shows any of the {len(self.long_tail)} categories of the long tail; "
                    "take more images, or select fewer categories under 'known'"
                )

    def _truth(self, split: str) -> Mapping[str, Any]:
        """Return the annotations of a split at the size of its pictures."""
        truth = self.source.ground_truth(split)
        return truth if self.size is None else resized(truth, *self.size)

    def _pictures(self, split: str) -> Pictures:
        from contrastbench.core.hosts.torchvision.dataset import Pictures

        pictures: Pictures = Pictures(self.source, split, self.size)
        return pictures
