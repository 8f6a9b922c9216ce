"""Upright objects: drawn in metres about the point where they stand, facing the camera."""

from __future__ import annotations

import numpy as np

from contrastbench.core.data.scenes.camera import Camera
from contrastbench.core.data.scenes.canvas import Canvas, Colour, Material, Points
from contrastbench.core.data.scenes.colours import flat

_TURN = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


class Sprite:
    """Draws one upright object.

    Args:
        canvas: where to draw.
        camera: from where it is seen.
        place: ``(s, t)`` where it stands.
        class_id: its class.
        kind: its fine category; given for things, which makes it an instance.
        flip: whether left and right are swapped.
    """

    def __init__(
        self,
        canvas: Canvas,
        camera: Camera,
        place: tuple[float, float],
        class_id: int,
        kind: str | None = None,
        flip: bool = False,
    ) -> None:
        self.canvas = canvas
        self.depth = camera.depth(*place)
        self._foot = np.array(camera.place(*place))
        scale = camera.focal / self.depth
        self._scale = np.array([-scale if flip else scale, -scale])
        self.class_id = class_id
        self.owner = canvas.add_object(class_id, kind) if kind is not None else 0

    def paint(self, look: Colour | Material, *shapes: Points, part: str | None = None, seen: bool = True) -> None:
        """Fill polygons in metres: x to the right of the foot, y up.

        Args:
            look: colour or material.
            shapes: polygons ``[n, 2]``; where an even number of them overlap nothing is filled.
            part: the part that this is, if it is one.
            seen: False to take over the labels alone, for what is looked through.
        """
        material = look if isinstance(look, Material) else flat(look)
        surface = self.canvas.surface(material, self.class_id, self.depth, self.owner, part)
        self.canvas.fill(surface, *(self._foot + np.asarray(s) * self._scale for s in shapes), seen=seen)

    def tint(self, look: Colour | Material, *shapes: Points) -> None:
        """Fill polygons in metres with a colour alone: what they are remains."""
        material = look if isinstance(look, Material) else flat(look)
        surface = self.canvas.surface(material, self.class_id, self.depth)
        self.canvas.fill(surface, *(self._foot + np.asarray(s) * self._scale for s in shapes), named=False)

    def cast(self, height: float, width: float, share: float, lean: float) -> None:
        """Cast a shadow on the ground, of something of this size; none where ``lean`` is 0."""
        if lean:
            far, up = lean * height, 0.12 * height
            self.canvas.shade(
                share,
                self._foot
                + np.array([(-width / 2, 0), (width / 2, 0), (far + width / 2, up), (far - width / 2, up)])
                * (abs(self._scale[0]), self._scale[1]),
            )

    def shade(self, share: float, *shapes: Points) -> None:
        """Put polygons in metres into shadow."""
        self.canvas.shade(share, *(self._foot + np.asarray(s) * self._scale for s in shapes))


def box(left: float, bottom: float, right: float, top: float) -> Points:
    """Return a rectangle."""
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def disc(x: float, y: float, across: float, up: float | None = None) -> np.ndarray:
    """Return an ellipse of half axes ``across`` and ``up``, a circle without ``up``."""
    return _CIRCLE * (across, across if up is None else up) + (x, y)


def bar(start: tuple[float, float], end: tuple[float, float], width: float) -> np.ndarray:
    """Return a straight bar from point to point."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = (b - a) / max(float(np.hypot(*(b - a))), 1e-9)
    side = np.array([-along[1], along[0]]) * width / 2
    return np.stack([a + side, b + side, b - side, a - side])
