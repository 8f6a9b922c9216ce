"""Rows of buildings along the street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrastbench.core.data.scenes.camera import Camera
from contrastbench.core.data.scenes.canvas import Canvas, Material
from contrastbench.core.data.scenes.colours import BRIGHT, FACADES, GLASS, LIT, dim, pick, rough
from contrastbench.core.data.scenes.street import Street
from contrastbench.core.data.scenes.taxonomy import BUILDING
from contrastbench.core.data.scenes.weather import Weather

_DEEP = 11.0
_FIRST, _LAST = -45.0, 110.0

_Quad = tuple[float, float, float, float]  # from and to along the street, from and to in height


@dataclass(frozen=True)
class _Front:
    """The front of a building, on which things are painted in metres."""

    canvas: Canvas
    camera: Camera
    start: float
    end: float
    wall: float

    @property
    def depth(self) -> float:
        """Distance of its middle, for haze; at least 3 m as it may reach behind the camera."""
        return max(self.camera.depth((self.start + self.end) / 2, self.wall), 3.0)

    def project(self, quad: _Quad) -> np.ndarray:
        """Return a piece of the front as seen."""
        s0, s1, z0, z1 = quad
        w = self.wall
        return self.camera.project([(s0, w, z0), (s1, w, z0), (s1, w, z1), (s0, w, z1)])

    def paint(self, look: Material, *quads: _Quad) -> None:
        """Paint pieces of the front with one material."""
        surface = self.canvas.surface(look, BUILDING, self.depth)
        self.canvas.fill(surface, *(self.project(quad) for quad in quads))

    def paint_ends(self, look: Material, side: int, height: float) -> None:
        """Paint the two walls that lead away from the street."""
        surface = self.canvas.surface(look, BUILDING, self.depth)
        far = self.wall + side * _DEEP
        for s in (self.end, self.start):
            corners = [(s, self.wall, 0.0), (s, far, 0.0), (s, far, height), (s, self.wall, height)]
            self.canvas.fill(surface, self.camera.project(corners))


def paint_buildings(canvas: Canvas, camera: Camera, street: Street, weather: Weather, rng: np.random.Generator) -> None:
    """Paint a row of buildings along each side in view, from far to near, with gaps."""
    for side, wall in zip((-1, 1), street.walls, strict=True):
        if camera.looks_across and side * camera.yaw < 0:
            continue
        shade = weather.shadow if side * weather.lean < 0 else 1.0
        fronts = [
            _Front(canvas, camera, start, end, wall + side * float(rng.choice((0.0, rng.uniform(0, 1.5)))))
            for start, end in _plots(street, rng)
        ]
        fronts.sort(key=lambda f: -max(camera.depth(f.start, f.wall), camera.depth(f.end, f.wall)))
        for front in fronts:
            _paint_building(front, side, shade, weather.night, rng)


def _plots(street: Street, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Draw where buildings begin and end along the street; none stands on a road that crosses it."""
    dense = float(rng.choice((0.45, 0.8, 0.97)))
    plots, start = [], _FIRST
    while start < _LAST:
        end = start + float(rng.uniform(6, 20))
        crossing = street.crossing
        free = crossing is None or end < crossing[0] - 2 or start > crossing[1] + 2
        if rng.random() < dense and free:
            plots.append((start, end))
        start = end + (0.0 if rng.random() < 0.6 else float(rng.uniform(1, 7)))
    return plots


def _paint_building(front: _Front, side: int, shade: float, night: bool, rng: np.random.Generator) -> None:
    storeys, storey = int(rng.integers(1, 6)), float(rng.uniform(2.7, 3.6))
    height = storeys * storey + float(rng.uniform(0.2, 1.2))
    look = rough(pick(FACADES, rng, 20), rng, coarse=0.05, medium=0.05, fine=0.05, level=0.06, upright=0.04)
    whole = (front.start, front.end, 0.0, height)
    front.paint_ends(Material(dim(look.colour, 0.86), look.rough), side, height)
    front.paint(look, whole)
    if rng.random() < 0.6:
        eaves = rough(pick(FACADES, rng), rng, fine=0.08, level=0.1)
        front.paint(eaves, (front.start, front.end, height - 0.4, height + 0.3))
    _windows(front, storeys, storey, night, rng)
    _ground_floor(front, rng)
    if shade < 1:
        front.canvas.shade(shade, front.project(whole))


def _windows(front: _Front, storeys: int, storey: float, night: bool, rng: np.random.Generator) -> None:
    pitch, share = float(rng.uniform(1.6, 3.6)), float(rng.uniform(0.4, 0.75))
    low, tall = 0.28 * storey, float(rng.uniform(0.4, 0.62)) * storey
    dark: list[_Quad] = []
    light: list[_Quad] = []
    for level in range(storeys):
        bottom = level * storey + low
        for s in np.arange(front.start + 0.5 * (1 - share) * pitch + 0.3, front.end - share * pitch, pitch):
            lot = light if rng.random() < 0.3 else dark
            lot.append((s, s + share * pitch, bottom, bottom + tall))
    front.paint(Material(dim(GLASS, float(rng.uniform(0.7, 1.6))), {"fine": 0.06}), *dark)
    front.paint(Material(LIT if night else dim(GLASS, float(rng.uniform(1, 2.4))), {"fine": 0.06}), *light)


def _ground_floor(front: _Front, rng: np.random.Generator) -> None:
    """Paint a shop front, posters, or a door: bright shapes that are nothing but wall."""
    start, end = front.start, front.end
    kind = rng.random()
    if kind < 0.35:
        front.paint(rough(pick(BRIGHT, rng, 20), rng, fine=0.05), (start + 0.5, end - 0.5, 2.5, 3.3))
        front.paint(rough(dim(GLASS, 1.3), rng, medium=0.2, fine=0.1), (start + 0.7, end - 0.7, 0.4, 2.3))
    elif kind < 0.7:
        for _ in range(int(rng.integers(1, 4))):
            s, z = float(rng.uniform(start, end - 1)), float(rng.uniform(0.8, 3.2))
            wide, tall = rng.uniform(0.7, 1.6, 2)
            front.paint(rough(pick(BRIGHT, rng, 20), rng, fine=0.05), (s, s + wide, z, z + tall))
            printed = (s + 0.3 * wide, s + 0.6 * wide, z + 0.15 * tall, z + 0.6 * tall)
            front.paint(Material(pick(BRIGHT, rng)), printed)
    else:
        s = float(rng.uniform(start, end - 1.2))
        front.paint(rough(pick(FACADES, rng, 20), rng, upright=0.08), (s, s + 1.1, 0.0, 2.2))
