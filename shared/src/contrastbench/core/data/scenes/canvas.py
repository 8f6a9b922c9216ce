"""Painting by numbers: objects are filled with surface numbers, and colour and truth are read from the numbers.

A surface is a material with a meaning: its colour, its texture, the class, object and part it belongs to. Shapes
are filled from back to front, so whatever is on top at the end is what is seen, and masks are modal by construction.
Lengths are in units of the image's height, x to the right and y down, so that a drawing has no resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from contrastbench.core.data.scenes.texture import FIELDS

Colour = tuple[float, float, float]
Points = Sequence[tuple[float, float]] | np.ndarray

_SHIFT = 4
_LIMIT = 2**18


@dataclass(frozen=True)
class Material:
    """What a surface looks like.

    Attributes:
        colour: RGB reflectance, 0 to 255.
        rough: strength of each texture field of ``texture.FIELDS`` by name, relative to the colour.
    """

    colour: Colour
    rough: dict[str, float] = field(default_factory=dict)


class Canvas:
    """The surfaces of a scene and where they are seen.

    Args:
        size: height and width in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.height, self.width = size
        self.seen = np.zeros(size, np.int32)  # the surface that gives a pixel its colour
        self.named = np.zeros(size, np.int32)  # the surface that gives it its labels: a mesh fence is seen through
        self.light = np.full(size, 255, np.uint8)
        self.colours: list[Colour] = []
        self.roughness: list[list[float]] = []
        self.depths: list[float] = []
        self.classes: list[int] = []
        self.objects: list[int] = []
        self.part_ids: list[int] = []
        self.kinds: list[tuple[int, str]] = []
        self.part_names: list[tuple[int, str]] = []

    @property
    def aspect(self) -> float:
        """Width in units of height."""
        return self.width / self.height

    def add_object(self, class_id: int, kind: str) -> int:
        """Announce an object and return its number, from 1."""
        self.kinds.append((class_id, kind))
        return len(self.kinds)

    def surface(self, material: Material, class_id: int, depth: float, owner: int = 0, part: str | None = None) -> int:
        """Add a surface and return its number.

        Args:
            material: its looks.
            class_id: its class.
            depth: its distance in metres, for haze.
            owner: number of the object that it belongs to, 0 for none.
            part: name of the part that it is, if it is one; each call makes another part.
        """
        part_id = 0
        if part is not None:
            self.part_names.append((owner, part))
            part_id = len(self.part_names)
        self.colours.append(material.colour)
        self.roughness.append([material.rough.get(name, 0.0) for name in FIELDS])
        self.depths.append(depth)
        self.classes.append(class_id)
        self.objects.append(owner)
        self.part_ids.append(part_id)
        return len(self.colours) - 1

    def fill(self, surface: int, *shapes: Points, seen: bool = True, named: bool = True) -> None:
        """Fill polygons ``[n, 2]`` with a surface, in light.

        Args:
            surface: the surface's number.
            shapes: polygons; where an even number of them overlap nothing is filled.
            seen: whether it takes over the colour.
            named: whether it takes over the labels.
        """
        pixels = self._pixels(shapes)
        if not pixels:
            return
        if seen:
            cv2.fillPoly(self.seen, pixels, surface, cv2.LINE_8, _SHIFT)
            cv2.fillPoly(self.light, pixels, 255, cv2.LINE_8, _SHIFT)
        if named:
            cv2.fillPoly(self.named, pixels, surface, cv2.LINE_8, _SHIFT)

    def shade(self, share: float, *shapes: Points) -> None:
        """Put polygons into shadow: ``share`` of the light is left. Shadows do not add up."""
        pixels = self._pixels(shapes)
        if pixels:
            cv2.fillPoly(self.light, pixels, round(255 * share), cv2.LINE_8, _SHIFT)

    def _pixels(self, shapes: Sequence[Points]) -> list[np.ndarray]:
        scaled = []
        for shape in shapes:
            points = np.asarray(shape, np.float64)
            if len(points) >= 3:
                points = np.clip(points * self.height - 0.5, -_LIMIT, _LIMIT)
                scaled.append(np.rint(points * (1 << _SHIFT)).astype(np.int32))
        return scaled
