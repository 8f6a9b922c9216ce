"""A scene with its ground truth, and the set it comes from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from contrastbench.core.errors import InputError, unknown_name

DRAWING = 1
"""Version of drawing and exports. Raise it with any change to a byte of either: it is part of every cache name."""

SPLITS = ("train", "val")
_SMALLEST, _LARGEST = 32, 4096


@dataclass(frozen=True)
class SceneSet:
    """Names a set of scenes; every scene in it follows from this alone.

    Attributes:
        seed: scenes of different seeds share nothing.
        train: number of training scenes.
        val: number of validation scenes.
        size: height and width in pixels. A scene keeps its composition from size to size of one aspect ratio.
    """

    seed: int = 0
    train: int = 400
    val: int = 200
    size: tuple[int, int] = (96, 192)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(int(side) for side in self.size))
        if self.seed < 0:
            raise InputError(f"scenes: seed is {self.seed}; it must be 0 or more")
        for split in SPLITS:
            if self.count(split) < 0:
                raise InputError(f"scenes: {split} is {self.count(split)}; it is a number of images, 0 or more")
        if len(self.size) != 2 or not all(_SMALLEST <= side <= _LARGEST for side in self.size):
            raise InputError(
                f"scenes: size is {self.size}; it must be (height, width), each from {_SMALLEST} to {_LARGEST}"
            )

    def count(self, split: str) -> int:
        """Return the number of scenes in ``split``.

        Raises:
            InputError: there is no such split.
        """
        if split not in SPLITS:
            raise unknown_name("split of scenes", split, SPLITS)
        return int(getattr(self, split))

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits that change with the set and with the drawing."""
        key = f"{DRAWING} {self.seed} {self.train} {self.val} {self.size[0]}x{self.size[1]}"
        return hashlib.sha256(key.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Part:
    """A part of an object.

    Attributes:
        id: its value in ``Scene.parts``.
        name: one of ``taxonomy.PARTS``.
        box: left, top, width, height of its visible pixels.
        area: number of its visible pixels.
    """

    id: int
    name: str
    box: tuple[int, int, int, int]
    area: int


@dataclass(frozen=True)
class Instance:
    """An object.

    Attributes:
        id: its value in ``Scene.instance``.
        class_id: its class, one of ``taxonomy.THINGS``.
        kind: its fine category.
        box: left, top, width, height of its visible pixels, parts included.
        area: number of its visible pixels, parts included.
        parts: its parts of which something is visible.
    """

    id: int
    class_id: int
    kind: str
    box: tuple[int, int, int, int]
    area: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Scene:
    """A picture and all that is true of it. Masks are modal: what is hidden belongs to nobody.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB.
        semantic: uint8 ``[H, W]``, class ids, 255 void.
        instance: int32 ``[H, W]``, 0 for none, else 1 to the number of instances.
        parts: int32 ``[H, W]``, 0 for none, else 1 to the number of parts.
        instances: the objects, in the order of their ids.
    """

    image: np.ndarray
    semantic: np.ndarray
    instance: np.ndarray
    parts: np.ndarray
    instances: tuple[Instance, ...]
