"""Bicycles: their kinds, and how one is drawn from the side and from its ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrastbench.core.data.scenes.canvas import Colour
from contrastbench.core.data.scenes.colours import BRIGHT, DARK, PAINTS, pick
from contrastbench.core.data.scenes.sprite import Sprite, bar, box, disc


@dataclass(frozen=True)
class _Kind:
    base: float = 1.05  # between the hubs
    radius: float = 0.36
    paint: Colour | None = None
    basket: str | None = None  # "front", or "box" for a cargo box
    saddles: int = 1
    drop: bool = False  # handlebar below the saddle


_KINDS: dict[str, _Kind] = {
    "city_bicycle": _Kind(),
    "racing_bicycle": _Kind(1.0, 0.37, (200, 44, 40), drop=True),
    "basket_bicycle": _Kind(basket="front"),
    "child_bicycle": _Kind(0.75, 0.26, (228, 120, 170)),
    "cargo_bicycle": _Kind(1.7, 0.32, basket="box"),
    "tandem_bicycle": _Kind(1.75, 0.36, (40, 120, 90), saddles=2),
}


def draw_bicycle(sprite: Sprite, kind: str, side: bool, rng: np.random.Generator) -> None:
    """Draw a bicycle; its wheels are looked through and still belong to it.

    Args:
        sprite: where it stands.
        kind: its kind.
        side: seen from its side, else from one of its ends.
        rng: for its colour.
    """
    look = _KINDS[kind]
    paint = look.paint or pick(BRIGHT + PAINTS, rng)
    sprite.shade(0.6, disc(0, 0, 0.5 * look.base + look.radius if side else 0.3, 0.05))
    if side:
        _from_side(sprite, look, paint)
    else:
        _from_end(sprite, look, paint)


def _from_side(sprite: Sprite, look: _Kind, paint: Colour) -> None:
    half, radius = look.base / 2, look.radius
    saddle, crank = 1.0 * radius / 0.36, (-0.12 * look.base, 0.8 * radius)
    head = (0.36 * look.base, 2.4 * radius)
    for x in (-half, half):
        sprite.paint(DARK, disc(x, radius, radius), part="wheel", seen=False)
        sprite.tint(DARK, disc(x, radius, radius), disc(x, radius, 0.72 * radius))
        sprite.tint((120, 120, 122), bar((x, 0.2 * radius), (x, 1.8 * radius), 0.03))
    post = (-0.2 * look.base, saddle - 0.08)
    frame = [
        ((-half, radius), crank),
        (crank, head),
        (crank, post),
        (post, head),
        ((-half, radius), post),
        (head, (half, radius)),
    ]
    for start, end in frame:
        sprite.paint(paint, bar(start, end, 0.14))
    for i in range(look.saddles):
        x = post[0] + 0.4 * i * look.base
        sprite.paint(DARK, box(x - 0.16, saddle - 0.06, x + 0.14, saddle + 0.04), part="saddle")
    if look.drop:
        bars = bar((head[0], head[1]), (head[0] + 0.24, head[1] - 0.12), 0.1)
    else:
        bars = bar((head[0] - 0.18, head[1] + 0.2), (head[0] + 0.06, head[1] + 0.14), 0.1)
    sprite.paint(DARK, bars, part="handlebar")
    if look.basket == "front":
        sprite.paint((150, 120, 80), box(head[0] + 0.08, head[1] - 0.16, head[0] + 0.48, head[1] + 0.18), part="basket")
    elif look.basket == "box":
        tray = [(0.02, 0.35), (half - 0.1, 0.35), (half + 0.06, 0.95), (-0.06, 0.95)]
        sprite.paint((150, 120, 80), tray, part="basket")


def _from_end(sprite: Sprite, look: _Kind, paint: Colour) -> None:
    radius = look.radius
    sprite.paint(DARK, disc(0, radius, 0.08, radius), part="wheel")
    sprite.paint(paint, box(-0.07, radius, 0.07, 2.5 * radius))
    sprite.paint(DARK, box(-0.3, 2.6 * radius, 0.3, 2.6 * radius + 0.1), part="handlebar")
    sprite.paint(DARK, box(-0.1, 2.55 * radius, 0.1, 2.85 * radius), part="saddle")
    if look.basket:
        sprite.paint((150, 120, 80), box(-0.26, 2.0 * radius, 0.26, 2.6 * radius), part="basket")
