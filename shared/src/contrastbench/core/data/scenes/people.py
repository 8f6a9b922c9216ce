"""People: their kinds, and how one is drawn walking, standing or riding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrastbench.core.data.scenes.canvas import Colour
from contrastbench.core.data.scenes.colours import BRIGHT, CLOTHES, DARK, SKINS, WHITE, dim, pick
from contrastbench.core.data.scenes.sprite import Sprite, bar, box, disc


@dataclass(frozen=True)
class _Kind:
    height: float = 1.75
    top: Colour | None = None
    legs: Colour | None = None
    skirt: bool = False
    band: Colour | None = None  # across the chest
    bag: str | None = None  # "back", "hand", "shoulder"
    hat: Colour | None = None
    extra: str | None = None  # "umbrella", "pram"


_HAIR: tuple[Colour, ...] = ((60, 44, 34), (30, 28, 28), (150, 120, 76))


_KINDS: dict[str, _Kind] = {
    "pedestrian": _Kind(),
    "woman_in_dress": _Kind(1.68, skirt=True),
    "backpacker": _Kind(bag="back"),
    "commuter": _Kind(1.8, top=(46, 48, 58), legs=(46, 48, 58), bag="hand"),
    "child": _Kind(1.2),
    "shopper": _Kind(1.7, bag="shoulder"),
    "jogger": _Kind(1.75, legs=(190, 140, 112), band=WHITE),
    "umbrella_holder": _Kind(extra="umbrella"),
    "pram_pusher": _Kind(1.7, extra="pram"),
    "road_worker": _Kind(1.78, top=(226, 112, 36), legs=(56, 62, 90), band=(220, 220, 90), hat=(232, 200, 50)),
    "police_officer": _Kind(1.82, top=(34, 42, 74), legs=(34, 42, 74), band=WHITE, hat=(28, 34, 60)),
    "postal_carrier": _Kind(1.76, top=(214, 178, 44), legs=(52, 56, 76), bag="shoulder", hat=(52, 56, 76)),
    "nun": _Kind(1.66, top=(30, 30, 34), legs=(30, 30, 34), skirt=True, hat=(30, 30, 34)),
    "clown": _Kind(1.75, top=(220, 60, 60), legs=(60, 90, 200), band=(240, 210, 60), hat=(60, 170, 90)),
}


@dataclass(frozen=True)
class _Figure:
    """Measures of one person in metres: heights of the whole, hip and neck, half width, lean of the shoulders."""

    tall: float
    hip: float
    neck: float
    wide: float
    lean: float


def draw_person(sprite: Sprite, kind: str, rng: np.random.Generator, riding: bool = False) -> None:
    """Draw a person on foot, or on the saddle of a bicycle that stands at the same place.

    Args:
        sprite: where the person stands.
        kind: the kind.
        rng: for colours and posture.
        riding: whether the person rides.
    """
    look = _KINDS[kind]
    tall = look.height * float(rng.uniform(0.94, 1.06))
    wide = 0.15 * tall * float(rng.uniform(0.85, 1.15))
    lift, lean = (0.36, 0.12 * tall) if riding else (0.0, 0.0)
    figure = _Figure(tall, 0.47 * tall + lift, 0.83 * tall + 0.7 * lift, wide, lean)
    top = look.top or pick(BRIGHT if rng.random() < 0.15 else CLOTHES, rng)
    legs = look.legs or (top if look.skirt else pick(CLOTHES, rng))
    if riding:
        _legs_on_pedals(sprite, figure, legs)
    else:
        sprite.shade(0.55, disc(0, 0, 1.6 * wide, 0.06))
        _legs_on_ground(sprite, figure, legs, look.skirt, rng)
    _bag(sprite, figure, look.bag if look.bag == "back" else None, rng)
    _torso(sprite, figure, top, look.band, rng)
    _bag(sprite, figure, look.bag if look.bag != "back" else None, rng)
    _head(sprite, figure, look.hat, rng)
    if look.extra == "umbrella":
        _umbrella(sprite, figure, pick(BRIGHT + CLOTHES, rng))
    elif look.extra == "pram":
        _pram(sprite, figure, pick(CLOTHES, rng))


def _legs_on_pedals(sprite: Sprite, figure: _Figure, colour: Colour) -> None:
    hip, wide = figure.hip, figure.wide
    knee, foot = (1.6 * wide, 0.6), (0.6 * wide, 0.3)
    sprite.paint(colour, [(-0.7 * wide, hip), (0.9 * wide, hip + 0.02), knee, foot, (0.1, 0.3)])


def _legs_on_ground(sprite: Sprite, figure: _Figure, colour: Colour, skirt: bool, rng: np.random.Generator) -> None:
    hip, wide, hem = figure.hip, figure.wide, 0.2 * figure.tall
    if skirt:
        shins = box(-0.6 * wide, 0, -0.1 * wide, hem), box(0.1 * wide, 0, 0.6 * wide, hem)
        sprite.paint(dim(colour, 0.7), *shins)
        sprite.paint(colour, [(-0.7 * wide, hip), (0.7 * wide, hip), (1.3 * wide, hem), (-1.3 * wide, hem)])
        return
    stride = float(rng.uniform(0.1, 1.6)) * wide
    for foot, share in ((-stride, 0.85), (stride, 1.0)):
        leg = [(-0.8 * wide, hip), (0.8 * wide, hip), (foot + 0.42 * wide, 0), (foot - 0.42 * wide, 0)]
        sprite.paint(dim(colour, share), leg)


def _torso(sprite: Sprite, figure: _Figure, colour: Colour, band: Colour | None, rng: np.random.Generator) -> None:
    hip, neck, wide, lean = figure.hip, figure.neck, figure.wide, figure.lean
    waist, shoulder = 0.8 * wide, 1.1 * wide
    low = hip - 0.05
    sprite.paint(colour, [(-waist, low), (waist, low), (shoulder + lean, neck), (-shoulder + lean, neck)])
    swing = float(rng.uniform(-0.5, 0.5)) * wide
    for side in (-1, 1):
        hand = (side * shoulder + swing + 2 * lean, hip)
        sprite.paint(dim(colour, 0.85), bar((side * 0.95 * shoulder + lean, neck - 0.03), hand, 0.5 * wide))
    if band:
        chest, middle = 0.9 * wide, 0.5 * (hip + neck) + 0.02
        sprite.paint(band, box(-chest + 0.5 * lean, middle, chest + 0.5 * lean, middle + 0.12))


def _bag(sprite: Sprite, figure: _Figure, worn: str | None, rng: np.random.Generator) -> None:
    wide, hip = figure.wide, figure.hip
    if worn == "back":
        sprite.paint(pick(BRIGHT, rng), box(-1.9 * wide, hip + 0.03, -0.5 * wide, figure.neck), part="bag")
    elif worn:
        bottom = 0.22 * figure.tall if worn == "hand" else hip - 0.08 * figure.tall
        colour = DARK if worn == "hand" else pick(BRIGHT, rng)
        sprite.paint(colour, box(0.8 * wide, bottom, 2.1 * wide, bottom + 0.2 * figure.tall), part="bag")


def _head(sprite: Sprite, figure: _Figure, hat: Colour | None, rng: np.random.Generator) -> None:
    x, radius = figure.lean, 0.072 * figure.tall + 0.02
    y = figure.neck + 0.9 * radius
    sprite.paint(pick(SKINS, rng, 8), disc(x, y, radius, 1.15 * radius), part="head")
    sprite.tint(pick(_HAIR, rng), disc(x - 0.2 * radius, y + 0.5 * radius, 0.8 * radius, 0.6 * radius))
    if hat:
        brim, crown = 1.3 * radius, 0.9 * radius
        low, high = y + 0.4 * radius, y + 1.7 * radius
        sprite.paint(hat, [(x - brim, low), (x + brim, low), (x + crown, high), (x - crown, high)], part="hat")


def _umbrella(sprite: Sprite, figure: _Figure, colour: Colour) -> None:
    wide, tall = figure.wide, figure.tall
    sprite.paint(DARK, bar((1.1 * wide, 0.55 * tall), (0.3 * wide, 1.25 * tall), 0.04))
    arch = np.linspace(0, np.pi, 9)
    dome = np.stack([0.62 * np.cos(arch) + 0.3 * wide, 1.08 * tall + 0.36 * np.sin(arch)], axis=1)
    sprite.paint(colour, dome, part="umbrella")


def _pram(sprite: Sprite, figure: _Figure, colour: Colour) -> None:
    wide = figure.wide
    body = [(1.2 * wide, 0.3), (4.6 * wide, 0.3), (4.6 * wide, 0.75), (2.8 * wide, 1.1), (1.2 * wide, 1.05)]
    sprite.paint(colour, body, disc(2 * wide, 0.14, 0.14), disc(4 * wide, 0.14, 0.14), part="pram")
