"""Vehicles: their kinds, and how one is drawn from the side and from its ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrastbench.core.data.scenes.canvas import Colour
from contrastbench.core.data.scenes.colours import BRIGHT, DARK, GLASS, LIT, PAINTS, WHITE, dim, pick
from contrastbench.core.data.scenes.sprite import Sprite, bar, box, disc

Outline = tuple[tuple[float, float], ...]

# Outlines and windows from the side, the front to the right; x in vehicle lengths and y in vehicle heights.
_SALOON: Outline = ((0, 0.16), (0, 0.56), (0.2, 0.62), (0.32, 1), (0.64, 1), (0.77, 0.62), (1, 0.52), (1, 0.16))
_HATCH: Outline = ((0, 0.16), (0.01, 0.6), (0.1, 1), (0.6, 1), (0.76, 0.62), (1, 0.52), (1, 0.16))
_TALL: Outline = ((0, 0.18), (0, 0.95), (0.04, 1), (0.66, 1), (0.78, 0.64), (1, 0.58), (1, 0.18))
_LONG: Outline = ((0, 0.16), (0, 0.62), (0.08, 1), (0.64, 1), (0.77, 0.62), (1, 0.52), (1, 0.16))
_BOX: Outline = ((0, 0.12), (0, 1), (0.76, 1), (0.9, 0.56), (1, 0.48), (1, 0.12))
_COACH: Outline = ((0, 0.1), (0, 1), (0.98, 1), (1, 0.9), (1, 0.1))
_OPEN: Outline = ((0, 0.2), (0, 0.7), (0.5, 0.68), (0.66, 0.98), (0.69, 0.98), (0.72, 0.68), (1, 0.6), (1, 0.2))
_PICKUP: Outline = ((0, 0.2), (0, 0.6), (0.44, 0.6), (0.47, 1), (0.7, 1), (0.8, 0.62), (1, 0.56), (1, 0.2))
_CAB: Outline = ((0, 0.12), (0, 0.26), (0.74, 0.26), (0.74, 0.84), (0.92, 0.84), (1, 0.46), (1, 0.12))
_TRACTOR: Outline = (
    (0.2, 0.2),
    (0.14, 0.5),
    (0.2, 1),
    (0.56, 1),
    (0.58, 0.52),
    (0.96, 0.5),
    (1, 0.45),
    (1, 0.25),
)


@dataclass(frozen=True)
class _Kind:
    length: float
    height: float
    outline: Outline
    windows: tuple[tuple[float, float], ...]  # from and to, in lengths
    sill: float = 0.62  # lower edge of the windows, in heights
    width: float = 1.8
    paint: Colour | None = None
    stripe: Colour | None = None
    cargo: tuple[float, float] | None = None  # a body of another colour, from and to in lengths
    roof: str | None = None


_PAIR = ((0.34, 0.49), (0.52, 0.66))
_ROW = tuple((0.04 + 0.135 * i, 0.15 + 0.135 * i) for i in range(7))
_FRONT = ((0.78, 0.88),)

_KINDS: dict[str, _Kind] = {
    "hatchback": _Kind(3.9, 1.5, _HATCH, ((0.14, 0.36), (0.4, 0.62))),
    "sedan": _Kind(4.7, 1.45, _SALOON, _PAIR),
    "suv": _Kind(4.6, 1.85, _TALL, ((0.06, 0.24), (0.28, 0.46), (0.5, 0.66)), 0.66),
    "panel_van": _Kind(5.2, 2.3, _BOX, ((0.62, 0.78),), 0.6, 2.0),
    "estate_car": _Kind(4.8, 1.5, _LONG, ((0.1, 0.26), (0.3, 0.45), (0.49, 0.65))),
    "taxi": _Kind(4.7, 1.5, _SALOON, _PAIR, paint=(214, 176, 60), roof="roof_sign"),
    "city_bus": _Kind(10.5, 3.1, _COACH, _ROW, 0.5, 2.5),
    "pickup_truck": _Kind(5.3, 1.85, _PICKUP, ((0.49, 0.68),), 0.64, 2.0),
    "box_truck": _Kind(7.5, 3.3, _CAB, _FRONT, 0.52, 2.4, cargo=(0.0, 0.72)),
    "convertible": _Kind(4.2, 1.3, _OPEN, ()),
    "police_car": _Kind(
        4.8, 1.5, _LONG, ((0.1, 0.26), (0.3, 0.45), (0.49, 0.65)), 0.62, 1.8, WHITE, (36, 70, 150), None, "beacon"
    ),
    "ambulance": _Kind(5.8, 2.6, _BOX, ((0.62, 0.78),), 0.6, 2.1, WHITE, (190, 44, 40), None, "beacon"),
    "camper_van": _Kind(
        5.9, 2.8, _BOX, ((0.1, 0.26), (0.36, 0.5), (0.62, 0.78)), 0.6, 2.2, (226, 216, 190), (140, 110, 70)
    ),
    "school_bus": _Kind(9.5, 3.0, _BOX, _ROW[:5], 0.58, 2.4, (222, 168, 40), DARK),
    "fire_engine": _Kind(
        8.2, 3.2, _COACH, ((0.76, 0.84), (0.88, 0.96)), 0.55, 2.5, (182, 36, 32), WHITE, None, "ladder"
    ),
    "ice_cream_van": _Kind(
        5.0, 2.5, _BOX, ((0.2, 0.52), (0.62, 0.78)), 0.5, 2.0, (236, 190, 200), (120, 180, 190), None, "roof_sign"
    ),
    "limousine": _Kind(7.6, 1.45, _SALOON, ((0.26, 0.35), (0.37, 0.45), (0.47, 0.55), (0.57, 0.66)), 0.62, 1.8, DARK),
    "tractor": _Kind(3.8, 2.6, _TRACTOR, ((0.24, 0.52),), 0.55, 1.9, (60, 120, 56)),
}


def vehicle_length(kind: str) -> float:
    """Return the length of a kind of vehicle in metres."""
    return _KINDS[kind].length


def vehicle_width(kind: str) -> float:
    """Return the width of a kind of vehicle in metres."""
    return _KINDS[kind].width


def draw_vehicle(sprite: Sprite, kind: str, side: bool, night: bool, rng: np.random.Generator) -> None:
    """Draw a vehicle.

    Args:
        sprite: where it stands.
        kind: its kind.
        side: seen from its side, else from one of its ends.
        night: its lamps are lit.
        rng: for colours and details.
    """
    look = _KINDS[kind]
    paint = look.paint or pick(BRIGHT if rng.random() < 0.18 or kind == "city_bus" else PAINTS, rng)
    cargo = pick(BRIGHT + PAINTS, rng) if look.cargo else None
    if side:
        _from_side(sprite, look, paint, cargo, night)
    else:
        _from_end(sprite, look, paint, cargo, night, front=bool(rng.random() < 0.5))


def _from_side(sprite: Sprite, look: _Kind, paint: Colour, cargo: Colour | None, night: bool) -> None:
    length, height = look.length, look.height

    def at(x: float, y: float) -> tuple[float, float]:
        return ((x - 0.5) * length, y * height)

    def panel(left: float, bottom: float, right: float, top: float) -> list[tuple[float, float]]:
        return [at(left, bottom), at(right, bottom), at(right, top), at(left, top)]

    sprite.shade(0.5, disc(0, 0, 0.56 * length, 0.12 * height))
    sprite.paint(paint, [at(x, y) for x, y in look.outline])
    sprite.paint(dim(paint, 0.62), panel(0.01, 0.17, 0.99, 0.3))
    if cargo and look.cargo:
        sprite.paint(cargo, panel(look.cargo[0], 0.28, look.cargo[1], 1))
    if look.stripe:
        sprite.paint(look.stripe, panel(0.02, 0.4, 0.98, 0.5))
    for start, end in look.windows:
        sprite.paint(GLASS, panel(start, look.sill, end, 0.92), part="vehicle_window")
    _roof(sprite, look, length * 0.2, height)
    sprite.paint(LIT if night else WHITE, panel(0.95, 0.38, 1, 0.48), part="headlight")
    radius = 0.24 * min(height, 1.7) + 0.04 * height
    big = 2.0 if look.outline is _TRACTOR else 1.0
    for x, size in ((0.2, big), (0.8, 1.0)):
        centre = at(x, 0)[0]
        sprite.paint(DARK, disc(centre, radius * size, radius * size), part="wheel")
    for x, size in ((0.2, big), (0.8, 1.0)):
        _hub(sprite, at(x, 0)[0], radius * size)


def _hub(sprite: Sprite, x: float, radius: float) -> None:
    sprite.tint((128, 128, 130), disc(x, radius, 0.45 * radius))


def _from_end(sprite: Sprite, look: _Kind, paint: Colour, cargo: Colour | None, night: bool, front: bool) -> None:
    half, height = look.width / 2, look.height
    square = height > 2
    top = half * (0.96 if square else 0.74)
    waist = 0.6 * height
    sprite.shade(0.5, disc(0, 0, 1.15 * half, 0.1 * height))
    for x in (-0.78 * half, 0.78 * half):
        sprite.paint(DARK, box(x - 0.14 * half, 0, x + 0.14 * half, 0.3 * height), part="wheel")
    body = [(-half, 0.14 * height), (half, 0.14 * height), (half, waist), (top, height), (-top, height), (-half, waist)]
    sprite.paint(cargo if cargo and not front else paint, body)
    sprite.paint(dim(paint, 0.62), box(-half, 0.14 * height, half, 0.26 * height))
    if look.stripe:
        sprite.paint(look.stripe, box(-half, 0.42 * height, half, 0.5 * height))
    if look.windows and (front or not cargo):
        inner = 0.88
        glass = [
            (-half * inner, waist),
            (half * inner, waist),
            (top * inner, 0.93 * height),
            (-top * inner, 0.93 * height),
        ]
        sprite.paint(GLASS, glass, part="vehicle_window")
    lamp = (LIT if night else WHITE) if front else (170, 34, 30)
    for x in (-0.76 * half, 0.76 * half):
        sprite.paint(lamp, box(x - 0.16 * half, 0.38 * height, x + 0.16 * half, 0.5 * height), part="headlight")
    sprite.paint(WHITE, box(-0.26, 0.24 * height, 0.26, 0.24 * height + 0.16), part="licence_plate")
    _roof(sprite, look, half * 0.8, height)


def _roof(sprite: Sprite, look: _Kind, half: float, height: float) -> None:
    if look.roof == "roof_sign":
        sprite.paint(WHITE, box(-0.4 * half, height, 0.4 * half, height + 0.24), part="roof_sign")
    elif look.roof == "beacon":
        sprite.paint((50, 90, 220), box(-0.6 * half, height, 0.6 * half, height + 0.2), part="beacon")
    elif look.roof == "ladder":
        sprite.paint((190, 190, 190), bar((-half, height + 0.1), (half, height + 0.3), 0.28), part="ladder")
