"""The camera: metres on the street to positions in the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, sin

import numpy as np

NEAR = 1.2
"""Nothing nearer than this is drawn, in metres."""

_ACROSS = 0.7  # radians


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above the origin of the street.

    The street runs along ``s``; ``t`` goes to the right of it and ``z`` up, all in metres.

    Attributes:
        focal: focal length in image heights.
        height: height above the ground in metres.
        horizon: y of the horizon in image heights.
        centre: x of the optical axis in image heights.
        yaw: angle by which it looks to the right of the street, in radians.
    """

    focal: float
    height: float
    horizon: float
    centre: float
    yaw: float

    @property
    def looks_across(self) -> bool:
        """Whether it looks across the street rather than along it."""
        return abs(self.yaw) > _ACROSS

    def depth(self, s: float, t: float) -> float:
        """Distance of a place along the optical axis, in metres."""
        return s * cos(self.yaw) + t * sin(self.yaw)

    def across(self, s: float, t: float) -> float:
        """Distance of a place to the right of the optical axis, in metres."""
        return t * cos(self.yaw) - s * sin(self.yaw)

    def place(self, s: float, t: float, z: float = 0.0) -> tuple[float, float]:
        """Image position of a point that is not behind the camera."""
        depth = self.depth(s, t)
        return (
            self.centre + self.focal * self.across(s, t) / depth,
            self.horizon + self.focal * (self.height - z) / depth,
        )

    def project(self, points: Sequence[tuple[float, float, float]]) -> np.ndarray:
        """Project a flat polygon of ``(s, t, z)``, cut at ``NEAR``.

        Returns:
            float64 ``[n, 2]`` of image positions, ``n`` is 0 where nothing is in front of the camera.
        """
        world = np.asarray(points, np.float64)
        s, t, z = world.T
        depth = s * cos(self.yaw) + t * sin(self.yaw)
        across = t * cos(self.yaw) - s * sin(self.yaw)
        view = np.stack([across, depth, z], axis=1)
        if depth.min() < NEAR:
            view = _cut(view)
        if not len(view):
            return np.zeros((0, 2))
        scale = self.focal / view[:, 1]
        return np.stack([self.centre + scale * view[:, 0], self.horizon + scale * (self.height - view[:, 2])], axis=1)


def _cut(view: np.ndarray) -> np.ndarray:
    """Cut a polygon ``[n, 3]`` of across, depth, z at ``NEAR`` (Sutherland and Hodgman)."""
    kept = []
    for start, end in zip(view, np.roll(view, -1, axis=0), strict=True):
        if start[1] >= NEAR:
            kept.append(start)
        if (start[1] >= NEAR) != (end[1] >= NEAR):
            kept.append(start + (end - start) * (NEAR - start[1]) / (end[1] - start[1]))
    return np.array(kept) if kept else np.zeros((0, 3))
