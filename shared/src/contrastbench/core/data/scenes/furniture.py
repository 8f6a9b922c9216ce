"""What lines a street: trees, hedges, fences and poles."""

from __future__ import annotations

import numpy as np

from contrastbench.core.data.scenes.camera import NEAR, Camera
from contrastbench.core.data.scenes.canvas import Canvas, Colour, Material
from contrastbench.core.data.scenes.colours import FACADES, GREYS, LEAVES, PAINTS, dim, pick, rough
from contrastbench.core.data.scenes.sprite import Sprite, bar, box, disc
from contrastbench.core.data.scenes.taxonomy import FENCE, VEGETATION
from contrastbench.core.data.scenes.weather import Weather


def draw_tree(sprite: Sprite, weather: Weather, rng: np.random.Generator) -> None:
    """Draw a tree in leaf, a bare one, or a bush."""
    tall = float(rng.uniform(3.2, 8.5))
    style = rng.random()
    leaves = pick(LEAVES, rng, 18)
    bark = pick(((84, 70, 58), (104, 96, 88), (64, 56, 50)), rng)
    if style > 0.8:
        _crown(sprite, leaves, (0, 0.5), 0.25 * tall, 0.6, rng)
        return
    sprite.cast(tall, 0.3 * tall, weather.shadow, weather.lean)
    trunk = rough(bark, rng, upright=0.1, fine=0.08)
    sprite.paint(trunk, bar((0, 0), (0, 0.62 * tall), 0.05 * tall))
    if style < 0.14:
        for _ in range(9):
            angle, base = float(rng.uniform(-1.1, 1.1)), float(rng.uniform(0.35, 0.65)) * tall
            reach = float(rng.uniform(0.2, 0.42)) * tall
            tip = (reach * np.sin(angle), base + reach * np.cos(angle))
            sprite.paint(trunk, bar((0, base), tip, 0.022 * tall))
    else:
        wide = float(rng.uniform(0.22, 0.38)) * tall
        _crown(sprite, leaves, (0, 0.68 * tall), wide, 0.34 * tall, rng)


def _crown(
    sprite: Sprite, leaves: Colour, centre: tuple[float, float], wide: float, high: float, rng: np.random.Generator
) -> None:
    for i in range(5):
        share = 1.0 if i == 0 else float(rng.uniform(0.35, 0.6))
        shift = rng.uniform(-0.5, 0.5, 2) * (i > 0)
        outline = disc(0, 0, wide * share, high * share)
        outline *= rng.uniform(0.8, 1.15, (len(outline), 1))
        look = rough(
            dim(leaves, 0.8 if i == 0 else float(rng.uniform(0.8, 1.25))), rng, medium=0.14, fine=0.16, grain=0.12
        )
        sprite.paint(look, outline + np.add(centre, shift * (wide, high)))


def paint_run(
    canvas: Canvas, camera: Camera, style: str, span: tuple[float, float], t: float, height: float, colour: Colour
) -> None:
    """Paint a piece of hedge or fence along the street.

    Args:
        canvas: where.
        camera: from where it is seen.
        style: ``hedge``, ``planks``, ``wall``, ``bars`` or ``rail``; the last two are looked through.
        span: from and to along the street.
        t: its place across the street.
        height: its height in metres.
        colour: its colour.
    """
    s0, s1 = span
    depth = max((camera.depth(s0, t) + camera.depth(s1, t)) / 2, NEAR)

    def quad(start: float, end: float, bottom: float, top: float) -> np.ndarray:
        return camera.project([(start, t, bottom), (end, t, bottom), (end, t, top), (start, t, top)])

    class_id = VEGETATION if style == "hedge" else FENCE
    texture = {
        "hedge": {"medium": 0.16, "fine": 0.2, "grain": 0.12},
        "planks": {"upright": 0.18, "fine": 0.06},
        "wall": {"level": 0.1, "fine": 0.07, "medium": 0.05},
    }.get(style, {"fine": 0.05})
    surface = canvas.surface(Material(colour, texture), class_id, depth)
    through = style in ("bars", "rail")
    canvas.fill(surface, quad(s0, s1, 0, height), seen=not through)
    if style == "bars":
        for z in (0.12, height - 0.1):
            canvas.fill(surface, quad(s0, s1, z - 0.05, z + 0.05))
        bars = [quad(s, s + 0.09, 0, height) for s in np.arange(s0, s1, 0.42)]
        canvas.fill(surface, *bars)
    elif style == "rail":
        canvas.fill(surface, quad(s0, s1, 0.45 * height, height))
        canvas.fill(surface, *(quad(s, s + 0.14, 0, height) for s in np.arange(s0, s1, 2.0)))
    elif style == "planks":
        gap = canvas.surface(Material(dim(colour, 0.5)), class_id, depth)
        canvas.fill(gap, *(quad(s, s + 0.12, 0, height) for s in np.arange(s0, s1, 0.6)))
    elif style == "wall":
        coping = canvas.surface(Material(dim(colour, 1.25)), class_id, depth)
        canvas.fill(coping, quad(s0, s1, height - 0.14, height))


def draw_run_style(kerb: bool, rng: np.random.Generator) -> tuple[str, float, Colour]:
    """Draw style, height and colour of a hedge or fence; at a kerb it is one that is looked through."""
    if kerb:
        return str(rng.choice(("bars", "rail"))), float(rng.uniform(0.8, 1.15)), pick(GREYS + PAINTS, rng)
    style = str(rng.choice(("hedge", "planks", "wall", "bars"), p=(0.22, 0.38, 0.13, 0.27)))
    colours = LEAVES if style == "hedge" else PAINTS + GREYS if style == "bars" else FACADES
    return style, float(rng.uniform(0.9, 2.1)), pick(colours, rng, 18)


def draw_pole(sprite: Sprite, kind: str, height: float, weather: Weather, rng: np.random.Generator) -> None:
    """Draw a pole.

    Args:
        sprite: where it stands.
        kind: ``lamp``, ``utility``, ``bollard`` or ``post``.
        height: its height in metres.
        weather: for its shadow.
        rng: for its colour.
    """
    colour = pick(GREYS + PAINTS[:5] + ((96, 74, 56),), rng)
    look = rough(colour, rng, fine=0.05, upright=0.04)
    width = {"lamp": 0.28, "utility": 0.36, "bollard": 0.36, "post": 0.2}[kind] * float(rng.uniform(0.85, 1.3))
    sprite.cast(height, width, weather.shadow, weather.lean)
    sprite.paint(look, box(-width / 2, 0, width / 2, height))
    if kind == "lamp":
        arm = float(rng.uniform(0.8, 1.8))
        sprite.paint(look, bar((0, height), (arm, height + 0.25), 0.13))
        sprite.paint(look, bar((arm - 0.1, height + 0.22), (arm + 0.5, height + 0.24), 0.24))
    elif kind == "utility":
        sprite.paint(look, bar((-1.1, height - 0.5), (1.1, height - 0.5), 0.2))
