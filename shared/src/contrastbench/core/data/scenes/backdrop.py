"""What closes the view: the sky and the skyline."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from contrastbench.core.data.scenes.camera import Camera
from contrastbench.core.data.scenes.canvas import Canvas, Colour, Material, Points
from contrastbench.core.data.scenes.colours import FACADES, LEAVES, pick, rough
from contrastbench.core.data.scenes.sprite import disc
from contrastbench.core.data.scenes.taxonomy import BUILDING, SKY, VEGETATION
from contrastbench.core.data.scenes.weather import Weather

_BANDS = 10

_Quad = Callable[[float, float, float, float], Points]  # a piece of a wall: from and to along it, from and to in height


def paint_sky(canvas: Canvas, camera: Camera, weather: Weather, rng: np.random.Generator) -> None:
    """Paint the sky, lighter towards the horizon, and clouds in it."""
    edges = np.linspace(0, camera.horizon, _BANDS + 1)
    rightmost = canvas.aspect + 1
    streak = float(rng.uniform(0, 0.07))
    for i, (upper, lower) in enumerate(pairwise(edges)):
        colour = _between(weather.sky, weather.haze, (i / (_BANDS - 1)) ** 1.5)
        surface = canvas.surface(Material(colour, {"coarse": streak, "level": 0.4 * streak}), SKY, 0)
        canvas.fill(surface, [(-1, upper), (rightmost, upper), (rightmost, lower + 0.01), (-1, lower + 0.01)])
    for _ in range(int(rng.choice((0, 0, 2, 4, 7)))):
        x, y = float(rng.uniform(0, canvas.aspect)), float(rng.uniform(0, camera.horizon))
        pale = _between(weather.haze, (240, 240, 242), 0.15 if weather.night else float(rng.uniform(0.2, 0.8)))
        cloud = canvas.surface(rough(pale, rng, coarse=0.05, medium=0.04), SKY, 0)
        for _ in range(3):
            dx, dy, w = rng.uniform(-0.15, 0.15), rng.uniform(-0.03, 0.03), rng.uniform(0.05, 0.2)
            canvas.fill(cloud, disc(x + dx, y + dy, w, 0.3 * w))


def paint_skyline(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Paint what closes the view at the horizon: far houses, or trees."""
    x = -0.1
    while x < canvas.aspect + 0.1:
        width = float(rng.uniform(0.05, 0.3))
        height = float(rng.uniform(0.0, 0.11))
        green = rng.random() < 0.5
        colour = pick(LEAVES if green else FACADES, rng)
        look = rough(colour, rng, medium=0.12, fine=0.1, upright=0.05)
        surface = canvas.surface(look, VEGETATION if green else BUILDING, float(rng.uniform(90, 220)))
        base = camera.horizon + 0.012
        if green:
            canvas.fill(surface, disc(x + width / 2, base - 0.2 * height, 0.65 * width, 0.8 * height + 0.02))
        canvas.fill(surface, [(x, base), (x + width, base), (x + width, base - height), (x, base - height)])
        x += width * float(rng.uniform(0.6, 1.2))


def _between(start: Colour, end: Colour, share: float) -> Colour:
    return tuple(a + (b - a) * share for a, b in zip(start, end, strict=True))  # type: ignore[return-value]
