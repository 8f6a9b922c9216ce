"""Composition: what stands where in a scene, and in which order it is painted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import atan, radians, sin, tan

import numpy as np

from contrastbench.core.data.scenes.backdrop import paint_sky, paint_skyline
from contrastbench.core.data.scenes.bicycles import draw_bicycle
from contrastbench.core.data.scenes.buildings import paint_buildings
from contrastbench.core.data.scenes.camera import Camera
from contrastbench.core.data.scenes.canvas import Canvas
from contrastbench.core.data.scenes.colours import rough
from contrastbench.core.data.scenes.furniture import draw_pole, draw_run_style, draw_tree, paint_run
from contrastbench.core.data.scenes.people import draw_person
from contrastbench.core.data.scenes.signs import draw_sign
from contrastbench.core.data.scenes.sprite import Sprite, disc
from contrastbench.core.data.scenes.street import Street, draw_street, paint_ground
from contrastbench.core.data.scenes.taxonomy import BICYCLE, CAR, PERSON, POLE, SIGN, VEGETATION, VOID, draw_kind
from contrastbench.core.data.scenes.vehicles import draw_vehicle, vehicle_length, vehicle_width
from contrastbench.core.data.scenes.weather import Weather

_TRIES = 10
_PIECE = 3.0  # long fences are cut to pieces of so many metres, each with a depth of its own


def draw_camera(aspect: float, rng: np.random.Generator) -> Camera:
    """Draw the camera: mostly along the street, at times across it."""
    across = rng.random() < 0.3
    yaw = rng.choice((-1, 1)) * rng.uniform(50, 88) if across else rng.normal(0, 14)
    return Camera(
        focal=float(rng.uniform(1.05, 1.5)),
        height=float(rng.uniform(1.4, 2.5)),
        horizon=float(rng.uniform(0.32, 0.52)),
        centre=aspect / 2 + float(rng.uniform(-0.15, 0.15)),
        yaw=radians(float(yaw)),
    )


class Composer:
    """Paints one scene on a canvas.

    Args:
        canvas: empty.
        weather: the light.
        rng: decides all; what it is asked does not depend on the resolution.
    """

    def __init__(self, canvas: Canvas, weather: Weather, rng: np.random.Generator) -> None:
        self.canvas, self.weather, self.rng = canvas, weather, rng
        self.camera = draw_camera(canvas.aspect, rng)
        self.street: Street = draw_street(self.camera, rng)
        self._pending: list[tuple[float, Callable[[], None]]] = []

    def paint(self) -> None:
        """Paint everything from back to front."""
        paint_sky(self.canvas, self.camera, self.weather, self.rng)
        paint_ground(self.canvas, self.camera, self.street, self.weather, self.rng)
        paint_skyline(self.canvas, self.camera, self.rng)
        paint_buildings(self.canvas, self.camera, self.street, self.weather, self.rng)
        self._line()
        self._populate()
        for _, draw in sorted(self._pending, key=lambda item: -item[0]):
            draw()
        _paint_void(self.canvas, self.rng)

    def _line(self) -> None:
        rng, street = self.rng, self.street
        for side in (0, 1):
            outer = -1 if side == 0 else 1
            if rng.random() < 0.85:
                self._run(street.walks[side] + outer * 0.1, kerb=False)
            if rng.random() < 0.18:
                self._run(street.kerbs[side] + outer * 0.3, kerb=True)
        for _ in range(int(rng.poisson(2.8))):
            side = int(rng.integers(2))
            inner = street.kerbs[side], street.walks[side]
            yard = street.walks[side], street.walls[side]
            low, high = sorted(yard if rng.random() < 0.5 and abs(yard[0] - yard[1]) > 1.5 else inner)
            self._place(float(rng.uniform(low, high)), self._tree, (5.0, 32.0))
        for _ in range(int(rng.poisson(3.2))):
            side = int(rng.integers(2))
            inwards = 1 if side == 0 else -1
            self._place(street.kerbs[side] - inwards * float(rng.uniform(0.4, 1.2)), self._pole, (4.0, 20.0))

    def _populate(self) -> None:
        rng = self.rng
        for _ in range(int(rng.poisson(3.6))):
            self._vehicle()
        for _ in range(int(rng.poisson(2.8))):
            self._place(self._on_walk(), self._sign, (4.0, 18.0))
        for _ in range(int(rng.poisson(2.3))):
            ridden = rng.random() < 0.55
            low, high = self.street.kerbs
            t = float(rng.uniform(low, high)) if ridden and rng.random() < 0.7 else self._on_walk()
            self._place(t, partial(self._bicycle, ridden=ridden), (3.5, 14.0))
        for _ in range(int(rng.poisson(3.0))):
            t = float(rng.uniform(*self.street.kerbs)) if rng.random() < 0.25 else self._on_walk()
            for _ in range(int(rng.choice((1, 1, 1, 2, 3)))):
                self._place(t + float(rng.normal(0, 0.6)), self._person, (3.5, 16.0))

    def _on_walk(self) -> float:
        side = int(self.rng.integers(2))
        low, high = sorted((self.street.kerbs[side], self.street.walks[side]))
        return float(self.rng.uniform(low, high))

    def _place(self, t: float, draw: Callable[[tuple[float, float]], None], reach: tuple[float, float]) -> None:
        """Find a place in view at ``t`` across the street, ``reach`` metres away, and draw there in its turn."""
        nearest, farthest = reach
        camera, rng = self.camera, self.rng
        for _ in range(_TRIES):
            if not camera.looks_across:
                s = float(np.exp(rng.uniform(np.log(nearest), np.log(farthest))))
            else:
                angle = camera.yaw + atan((rng.uniform(0, self.canvas.aspect) - camera.centre) / camera.focal)
                s = t / tan(angle) if abs(sin(angle)) > 0.1 else 0.0
            depth = camera.depth(s, t)
            if not nearest <= depth <= farthest:
                continue
            x = camera.place(s, t)[0]
            if -0.05 <= x <= self.canvas.aspect + 0.05:
                self._pending.append((depth, partial(draw, (s, t))))
                return

    def _run(self, t: float, kerb: bool) -> None:
        rng, camera = self.rng, self.camera
        style, height, colour = draw_run_style(kerb, rng)
        along = not camera.looks_across
        start = float(rng.uniform(1, 16) if along else rng.uniform(-18, 8))
        for s in np.arange(start, start + float(rng.uniform(9, 45)), _PIECE):
            depth = camera.depth(s + _PIECE / 2, t)
            crossing = self.street.crossing
            if depth > 1 and not (crossing and crossing[0] - 3 < s < crossing[1]):
                span = (float(s), float(s) + _PIECE)
                draw = partial(paint_run, self.canvas, camera, style, span, t, height, colour)
                self._pending.append((depth, draw))

    def _sprite(
        self, place: tuple[float, float], class_id: int, kind: str | None = None, flip: bool | None = None
    ) -> Sprite:
        flip = bool(self.rng.random() < 0.5) if flip is None else flip
        return Sprite(self.canvas, self.camera, place, class_id, kind, flip)

    def _tree(self, place: tuple[float, float]) -> None:
        draw_tree(self._sprite(place, VEGETATION), self.weather, self.rng)

    def _pole(self, place: tuple[float, float]) -> None:
        kind = str(self.rng.choice(("lamp", "utility", "bollard"), p=(0.5, 0.25, 0.25)))
        height = float(self.rng.uniform(0.9, 1.2) if kind == "bollard" else self.rng.uniform(4, 7.5))
        draw_pole(self._sprite(place, POLE), kind, height, self.weather, self.rng)

    def _sign(self, place: tuple[float, float]) -> None:
        height = float(self.rng.uniform(1.9, 3.1))
        draw_pole(self._sprite(place, POLE), "post", height, self.weather, self.rng)
        for level in range(1 if self.rng.random() < 0.8 else 2):
            kind = draw_kind(SIGN, self.rng)
            draw_sign(self._sprite(place, SIGN, kind, flip=False), kind, height - 1.05 * level, self.rng)

    def _person(self, place: tuple[float, float]) -> None:
        kind = draw_kind(PERSON, self.rng)
        sprite = self._sprite(place, PERSON, kind)
        sprite.cast(1.7, 0.4, self.weather.shadow, self.weather.lean)
        draw_person(sprite, kind, self.rng)

    def _bicycle(self, place: tuple[float, float], ridden: bool) -> None:
        kind = draw_kind(BICYCLE, self.rng)
        flip = bool(self.rng.random() < 0.5)
        sprite = self._sprite(place, BICYCLE, kind, flip)
        sprite.cast(1.1, 1.4, self.weather.shadow, self.weather.lean)
        draw_bicycle(sprite, kind, self._seen_from_side(place) or self.rng.random() < 0.5, self.rng)
        if ridden:
            rider = draw_kind(PERSON, self.rng)
            draw_person(self._sprite(place, PERSON, rider, flip), rider, self.rng, riding=True)

    def _vehicle(self) -> None:
        rng = self.rng
        kind = draw_kind(CAR, rng)
        left, right = self.street.kerbs
        side = bool(rng.random() < 0.12)  # turning, or leaving a yard
        margin = 0.6 * vehicle_width(kind)
        lane = (left + margin, right - margin, left + 0.3 * (right - left), left + 0.7 * (right - left))
        t = float(lane[int(rng.choice(4, p=(0.32, 0.32, 0.18, 0.18)))])

        def draw(place: tuple[float, float]) -> None:
            beside = side or self._seen_from_side(place)
            sprite = self._sprite(place, CAR, kind)
            sprite.cast(1.6, vehicle_length(kind) if beside else 1.8, self.weather.shadow, self.weather.lean)
            draw_vehicle(sprite, kind, beside, self.weather.night, rng)

        self._place(t, draw, (4.0 + 0.35 * vehicle_length(kind), 30.0))

    def _seen_from_side(self, place: tuple[float, float]) -> bool:
        s, t = place
        return abs(t) > 0.75 * abs(s)


def _paint_void(canvas: Canvas, rng: np.random.Generator) -> None:
    """Leave borders without a label, as rectified images have them, and at times the hood of one's own car."""
    aspect = canvas.aspect
    if rng.random() < 0.15:
        hood = canvas.surface(rough((46, 48, 54), rng, coarse=0.1, medium=0.08), VOID, 0)
        canvas.fill(hood, disc(aspect / 2, 1.04, 0.55 * aspect, float(rng.uniform(0.08, 0.16))))
    unlabelled = canvas.surface(rough((20, 20, 20), rng), VOID, 0)
    if rng.random() < 0.4:
        left, top, right, bottom = rng.uniform(0.004, 0.05, 4) * (rng.random(4) < 0.6)
        for frame, wide in (
            ([(-1, -1), (left, -1), (left, 2), (-1, 2)], left),
            ([(-1, -1), (aspect + 1, -1), (aspect + 1, top), (-1, top)], top),
            ([(aspect - right, -1), (aspect + 1, -1), (aspect + 1, 2), (aspect - right, 2)], right),
            ([(-1, 1 - bottom), (aspect + 1, 1 - bottom), (aspect + 1, 2), (-1, 2)], bottom),
        ):
            if wide:
                canvas.fill(unlabelled, frame, seen=False)
