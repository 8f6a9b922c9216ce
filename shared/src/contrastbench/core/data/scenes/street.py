"""The street: where road, pavements and yards lie, and how the ground is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrastbench.core.data.scenes.camera import Camera
from contrastbench.core.data.scenes.canvas import Canvas, Material
from contrastbench.core.data.scenes.colours import GREYS, LEAVES, WHITE, dim, pick, rough
from contrastbench.core.data.scenes.taxonomy import PAVEMENT, ROAD, VEGETATION
from contrastbench.core.data.scenes.weather import Weather

_END = 400.0
_GROUND = 30.0  # depth that ground fades as, in metres: it is one surface from near to far


@dataclass(frozen=True)
class Street:
    """Edges across the street in metres, from left to right, and what crosses it.

    Attributes:
        walls: where the buildings stand, left and right.
        walks: outer edges of the pavements.
        kerbs: edges of the road.
        crossing: from and to along the street of a road that crosses it, if one does.
        zebra: where along the street a zebra crossing lies, if one does.
    """

    walls: tuple[float, float]
    walks: tuple[float, float]
    kerbs: tuple[float, float]
    crossing: tuple[float, float] | None
    zebra: float | None


def draw_street(camera: Camera, rng: np.random.Generator) -> Street:
    """Draw the plan of a street around a camera."""
    wide = float(rng.uniform(5.5, 11.5))
    if camera.looks_across:  # looks across: it stands at the other side or in the road
        near = float(rng.uniform(-2.5, 3.5))
        kerbs = (near, near + wide) if camera.yaw > 0 else (-near - wide, -near)
    else:
        left = -wide * float(rng.uniform(-0.15, 1.15))
        kerbs = (left, left + wide)
    walks = (kerbs[0] - float(rng.uniform(1.6, 5)), kerbs[1] + float(rng.uniform(1.6, 5)))
    setback = np.where(rng.random(2) < 0.45, 0.0, rng.uniform(1.5, 9, 2))
    walls = (min(walks[0] - float(setback[0]), -3.5), max(walks[1] + float(setback[1]), 3.5))
    start = float(rng.uniform(9, 35))
    crossing = (start, start + float(rng.uniform(5, 9))) if rng.random() < 0.3 else None
    zebra = float(rng.uniform(5, 22)) if rng.random() < 0.3 else None
    return Street(walls, walks, kerbs, crossing, zebra)


def paint_ground(canvas: Canvas, camera: Camera, street: Street, weather: Weather, rng: np.random.Generator) -> None:
    """Paint yards, pavements, road and what lies on them, then the long shadows."""

    def patch(surface: int, s: tuple[float, float], t: tuple[float, float]) -> None:
        canvas.fill(surface, camera.project([(s[0], t[0], 0), (s[1], t[0], 0), (s[1], t[1], 0), (s[0], t[1], 0)]))

    whole = (-_END, _END)
    beyond, road, walk = _yard(canvas, rng), _paved(canvas, ROAD, rng), _paved(canvas, PAVEMENT, rng)
    bottom = [(-1.0, camera.horizon), (canvas.aspect + 1, camera.horizon), (canvas.aspect + 1, 2), (-1.0, 2)]
    canvas.fill(beyond, bottom)
    if rng.random() < 0.5:
        patch(_yard(canvas, rng), whole, (street.walks[1], _END))
    patch(walk, whole, street.walks)
    _slabs(canvas, camera, street, walk, rng)
    if street.crossing:
        s0, s1 = street.crossing
        patch(walk, (s0 - 2.5, s1 + 2.5), whole)
        patch(road, street.crossing, whole)
    edge = float(rng.uniform(0.7, 1.3))
    kerb = canvas.surface(Material(dim(canvas.colours[walk], edge)), PAVEMENT, _GROUND)
    patch(kerb, whole, (street.kerbs[0] - 0.25, street.kerbs[1] + 0.25))
    patch(road, whole, street.kerbs)
    if street.crossing:
        patch(road, street.crossing, (street.kerbs[0] - 0.3, street.kerbs[1] + 0.3))
    _stains(canvas, camera, street, road, rng)
    _marks(canvas, camera, street, rng)
    _shadows(canvas, camera, street, weather, rng)


def _paved(canvas: Canvas, class_id: int, rng: np.random.Generator) -> int:
    shift = float(rng.uniform(0.95, 1.2) if class_id == PAVEMENT else rng.uniform(0.8, 1.05))
    look = rough(dim(pick(GREYS, rng), shift), rng, coarse=0.05, medium=0.05, fine=0.06, grain=0.08, level=0.03)
    return canvas.surface(look, class_id, _GROUND)


def _yard(canvas: Canvas, rng: np.random.Generator) -> int:
    if rng.random() < 0.35:
        return _paved(canvas, PAVEMENT, rng)
    grass = rough(pick(LEAVES, rng, 16), rng, coarse=0.1, medium=0.1, fine=0.12, grain=0.12)
    return canvas.surface(grass, VEGETATION, _GROUND)


def _slabs(canvas: Canvas, camera: Camera, street: Street, walk: int, rng: np.random.Generator) -> None:
    if rng.random() < 0.25:
        return
    joint = canvas.surface(Material(dim(canvas.colours[walk], 0.8)), PAVEMENT, _GROUND)
    step = float(rng.uniform(0.8, 2.2))
    span = np.arange(-6, 16) * step
    lines = [(s, s + 0.07, *street.walks) for s in span]
    lines += [(-_END, _END, t, t + 0.07) for t in (*np.arange(*street.walks, step),)]
    for s0, s1, t0, t1 in lines:
        canvas.fill(joint, camera.project([(s0, t0, 0), (s1, t0, 0), (s1, t1, 0), (s0, t1, 0)]))


def _stains(canvas: Canvas, camera: Camera, street: Street, road: int, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(0, 5))):
        s = float(rng.uniform(2, 25)) if not camera.looks_across else float(rng.uniform(-8, 8))
        t0, t1 = np.sort(rng.uniform(*street.kerbs, 2))
        shade = rough(dim(canvas.colours[road], float(rng.uniform(0.7, 1.25))), rng, fine=0.07, grain=0.08)
        stain = canvas.surface(shade, ROAD, _GROUND)
        length = float(rng.uniform(0.6, 8))
        canvas.fill(stain, camera.project([(s, t0, 0), (s + length, t0, 0), (s + length, t1, 0), (s, t1, 0)]))


def _marks(canvas: Canvas, camera: Camera, street: Street, rng: np.random.Generator) -> None:
    paint = canvas.surface(rough(dim(WHITE, float(rng.uniform(0.6, 1))), rng, fine=0.06, grain=0.06), ROAD, _GROUND)
    left, right = street.kerbs
    style = rng.random()
    start = float(rng.uniform(0, 6))
    if style < 0.6:
        middle = (left + right) / 2
        dashes = [(s, s + 3.0) for s in np.arange(-60 + start, 90, 7.5)] if style < 0.4 else [(-_END, _END)]
        for s0, s1 in dashes:
            shape = [(s0, middle - 0.09, 0), (s1, middle - 0.09, 0), (s1, middle + 0.09, 0), (s0, middle + 0.09, 0)]
            canvas.fill(paint, camera.project(shape))
    if street.zebra is not None:
        s0 = street.zebra if not camera.looks_across else street.zebra - 12
        for t in np.arange(left + 0.3, right - 0.5, 1.0):
            canvas.fill(paint, camera.project([(s0, t, 0), (s0 + 3, t, 0), (s0 + 3, t + 0.5, 0), (s0, t + 0.5, 0)]))


def _shadows(canvas: Canvas, camera: Camera, street: Street, weather: Weather, rng: np.random.Generator) -> None:
    if not weather.lean:
        return
    wall = street.walls[0] if weather.lean > 0 else street.walls[1]
    s = -40.0
    while s < 90:
        length, reach = float(rng.uniform(5, 22)), float(rng.uniform(2, 9)) * weather.lean
        quad = [(s, wall, 0), (s + length, wall, 0), (s + length, wall + reach, 0), (s, wall + reach, 0)]
        canvas.shade(weather.shadow, camera.project(quad))
        s += length + float(rng.choice((0.0, rng.uniform(2, 12))))
