"""How long, how fast and at which sizes an instance segmentation network is trained in detectron2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.data import transforms as T

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.instance_schedule import InstanceSchedule
from contrastbench.core.hosts.schedule import as_tuple

_STRENGTH = 0.3


@dataclass(frozen=True)
class DetectronSchedule(InstanceSchedule):
    """The options under ``schedule``: those of the torchvision host, and the sizes at which the network sees images.

    The DCL paper's for Cityscapes are in brackets; they are detectron2's own.

    Attributes:
        short_side: pixels of the shorter side of training images, one of these at random; empty for the size that they
            come in [800, 832, 864, 896, 928, 960, 992, 1024].
        long_side: pixels that the longer side does not exceed then [2,048].
        val_short_side: pixels of the shorter side of validation images; None for the size that they come in [1,024].
            Masks are brought back to that.
        val_long_side: pixels that the longer side does not exceed then [2,048].
    """

    short_side: tuple[int, ...] = ()
    long_side: int = 1333
    val_short_side: int | None = None
    val_long_side: int = 1333

    def __post_init__(self) -> None:
        object.__setattr__(self, "short_side", as_tuple(self.short_side))
        super().__post_init__()

    def train_augmentations(self, size: tuple[int, int] | None) -> list[T.Augmentation]:
        """Return the random views of training images.

        Args:
            size: height and width that images are brought to first, or None.
        """
        views: list[T.Augmentation] = [T.Resize(size)] if size is not None else []
        if self.short_side:
            views.append(T.ResizeShortestEdge(self.short_side, self.long_side, "choice"))
        if self.scale != (1.0, 1.0):
            views.append(RandomScale(*self.scale))
        if self.crop is not None:
            views.append(T.RandomCrop("absolute", self.crop))
        if self.flip:
            views.append(T.RandomFlip())
        if self.jitter:
            strengths = (1 - _STRENGTH, 1 + _STRENGTH)
            views += [T.RandomBrightness(*strengths), T.RandomSaturation(*strengths), T.RandomContrast(*strengths)]
        return views

    def val_augmentations(self, size: tuple[int, int] | None) -> list[T.Augmentation]:
        """Return how validation images are resized."""
        views: list[T.Augmentation] = [T.Resize(size)] if size is not None else []
        if self.val_short_side is not None:
            views.append(T.ResizeShortestEdge(self.val_short_side, self.val_long_side, "choice"))
        return views

    def _check(self) -> None:
        super()._check()
        sides: dict[str, Sequence[object]] = {
            "short_side": self.short_side,
            "long_side": (self.long_side,),
            "val_short_side": () if self.val_short_side is None else (self.val_short_side,),
            "val_long_side": (self.val_long_side,),
        }
        for name, values in sides.items():
            if not all(isinstance(value, int) and value > 0 for value in values):
                raise InputError(f"schedule.{name} is {getattr(self, name)!r}; sides are whole numbers of pixels")


class RandomScale(T.Augmentation):
    """Resize by a factor drawn evenly from a range.

    Args:
        smallest: of the factors.
        largest: of the factors.
    """

    def __init__(self, smallest: float, largest: float) -> None:
        super().__init__()
        self.smallest, self.largest = smallest, largest

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Return the resizing of an image ``[H, W, 3]``."""
        height, width = image.shape[:2]
        factor = self._rand_range(self.smallest, self.largest)
        return T.ResizeTransform(height, width, max(1, round(height * factor)), max(1, round(width * factor)))
