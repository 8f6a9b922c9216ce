"""Signs: their kinds, and how one is drawn on its post."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrastbench.core.data.scenes.canvas import Colour, Points
from contrastbench.core.data.scenes.colours import DARK, WHITE
from contrastbench.core.data.scenes.sprite import Sprite, bar, box, disc

_RED: Colour = (186, 36, 34)
_BLUE: Colour = (34, 74, 158)
_YELLOW: Colour = (228, 186, 44)
_GREEN: Colour = (36, 112, 72)
_ORANGE: Colour = (222, 120, 38)

# Plates about (0, 0) that reach about 1 to each side.
_PLATES: dict[str, Points] = {
    "round": disc(0, 0, 1),
    "square": box(-0.9, -0.9, 0.9, 0.9),
    "wide": box(-1.7, -0.5, 1.7, 0.5),
    "tall": box(-0.65, -1.2, 0.65, 1.2),
    "up": [(-1.1, -0.85), (1.1, -0.85), (0, 1.1)],
    "down": [(-1.1, 0.85), (1.1, 0.85), (0, -1.1)],
    "diamond": [(-1.15, 0), (0, -1.15), (1.15, 0), (0, 1.15)],
    "octagon": disc(0, 0, 1.05)[[1, 3, 6, 8, 11, 13, 16, 18]],
}

# Symbols, in the same units.
_SYMBOLS: dict[str, list[Points]] = {
    "number": [box(-0.4, -0.35, -0.05, 0.35), box(0.08, -0.35, 0.42, 0.35)],
    "letter": [box(-0.35, -0.6, -0.1, 0.6), box(-0.1, -0.05, 0.35, 0.6)],
    "mark": [box(-0.14, -0.15, 0.14, 0.55), box(-0.14, -0.55, 0.14, -0.3)],
    "line": [box(-1.3, -0.15, 1.3, 0.15)],
    "slash": [bar((-0.65, 0.65), (0.65, -0.65), 0.28)],
    "figure": [disc(0, 0.4, 0.2), [(-0.4, -0.6), (0.4, -0.6), (0, 0.3)]],
    "bar": [box(-0.7, -0.2, 0.7, 0.2)],
    "arrow": [[(-0.6, -0.18), (0.1, -0.18), (0.1, -0.5), (0.7, 0), (0.1, 0.5), (0.1, 0.18), (-0.6, 0.18)]],
    "down_arrow": [bar((-0.45, 0.5), (0.45, -0.5), 0.34)],
    "wheels": [disc(-0.25, 0, 0.24), disc(0.25, 0, 0.24)],
    "cross": [box(-0.18, -0.6, 0.18, 0.6), box(-0.6, -0.18, -0.18, 0.18), box(0.18, -0.18, 0.6, 0.18)],
}


@dataclass(frozen=True)
class _Kind:
    plate: str
    rim: Colour
    face: Colour
    symbol: str | None
    ink: Colour = DARK
    reach: float = 0.42  # half the width in metres


_KINDS: dict[str, _Kind] = {
    "speed_limit_sign": _Kind("round", _RED, WHITE, "number"),
    "parking_sign": _Kind("square", WHITE, _BLUE, "letter", WHITE),
    "warning_sign": _Kind("up", _RED, WHITE, "mark"),
    "street_name_sign": _Kind("wide", WHITE, _BLUE, "line", WHITE),
    "no_parking_sign": _Kind("round", _RED, _BLUE, "slash", _RED),
    "crossing_sign": _Kind("square", _BLUE, _BLUE, "figure", WHITE),
    "yield_sign": _Kind("down", _RED, WHITE, None),
    "stop_sign": _Kind("octagon", WHITE, _RED, "bar", WHITE),
    "no_entry_sign": _Kind("round", _RED, _RED, "bar", WHITE),
    "bus_stop_sign": _Kind("tall", _GREEN, _YELLOW, "letter", _GREEN),
    "priority_sign": _Kind("diamond", WHITE, _YELLOW, None),
    "keep_right_sign": _Kind("round", WHITE, _BLUE, "down_arrow", WHITE),
    "one_way_sign": _Kind("wide", WHITE, _BLUE, "arrow", WHITE),
    "bicycle_route_sign": _Kind("tall", WHITE, _GREEN, "wheels", WHITE),
    "roadworks_sign": _Kind("diamond", DARK, _ORANGE, "figure"),
    "hospital_sign": _Kind("square", WHITE, _BLUE, "cross", _RED),
}


def draw_sign(sprite: Sprite, kind: str, height: float, rng: np.random.Generator) -> None:
    """Draw a sign.

    Args:
        sprite: where its post stands.
        kind: its kind.
        height: height of its middle in metres.
        rng: for its size and wear.
    """
    look = _KINDS[kind]
    reach = look.reach * float(rng.uniform(0.9, 1.35))
    fading = float(rng.uniform(0.75, 1.05))

    def sized(shape: Points, share: float = 1.0) -> np.ndarray:
        return np.asarray(shape) * reach * share + (0, height)

    plate = _PLATES[look.plate]
    sprite.paint(tuple(c * fading for c in look.rim), sized(plate))  # type: ignore[arg-type]
    sprite.paint(tuple(c * fading for c in look.face), sized(plate, 0.76))  # type: ignore[arg-type]
    if look.symbol:
        sprite.paint(look.ink, *(sized(shape) for shape in _SYMBOLS[look.symbol]), part="sign_symbol")
