"""Colours and materials. Classes share them on purpose: only shape and place tell asphalt from a slab or a coat."""

from __future__ import annotations

import numpy as np

from contrastbench.core.data.scenes.canvas import Colour, Material

GREYS: tuple[Colour, ...] = (
    (96, 96, 98),
    (118, 117, 114),
    (138, 136, 132),
    (150, 146, 140),
    (126, 124, 128),
    (108, 104, 100),
)
"""Roads, pavements, walls and poles."""

BRIGHT: tuple[Colour, ...] = (
    (178, 40, 38),
    (36, 70, 150),
    (222, 184, 40),
    (232, 230, 224),
    (40, 110, 70),
    (214, 118, 40),
)
"""Signs, adverts, some cars and some clothes."""

PAINTS: tuple[Colour, ...] = (
    (40, 40, 44),
    (200, 200, 204),
    (128, 130, 134),
    (232, 232, 230),
    (88, 92, 100),
    (140, 32, 34),
    (38, 62, 118),
    (70, 88, 66),
    (168, 150, 116),
)
"""Cars."""

FACADES: tuple[Colour, ...] = (
    (158, 118, 96),
    (186, 172, 148),
    (146, 142, 136),
    (134, 84, 68),
    (204, 198, 186),
    (120, 124, 130),
    (170, 150, 108),
    (112, 96, 84),
    (132, 140, 122),
)
"""Buildings, walls and planks."""

LEAVES: tuple[Colour, ...] = (
    (62, 88, 44),
    (80, 104, 52),
    (96, 112, 66),
    (54, 74, 48),
    (128, 112, 54),
    (118, 84, 50),
)
"""Vegetation, and some coats."""

CLOTHES: tuple[Colour, ...] = (
    (44, 44, 52),
    (70, 78, 98),
    (104, 96, 88),
    (150, 144, 138),
    (66, 84, 58),
    (128, 112, 66),
    (130, 48, 48),
    (48, 70, 120),
    (206, 200, 190),
    (110, 74, 56),
)
SKINS: tuple[Colour, ...] = ((226, 184, 156), (198, 148, 116), (150, 104, 78), (104, 72, 56))
GLASS: Colour = (62, 72, 84)
LIT: Colour = (250, 216, 140)
DARK: Colour = (34, 34, 36)
WHITE: Colour = (236, 236, 232)


def pick(colours: tuple[Colour, ...], rng: np.random.Generator, spread: float = 12) -> Colour:
    """Draw a colour and shift it a little: all channels together by ``spread``, each by half of it."""
    base = colours[int(rng.integers(len(colours)))]
    shift = rng.uniform(-spread, spread) + rng.uniform(-spread / 2, spread / 2, 3)
    return tuple(float(np.clip(channel + step, 12, 250)) for channel, step in zip(base, shift, strict=True))  # type: ignore[return-value]


def dim(colour: Colour, share: float) -> Colour:
    """Return the colour with ``share`` of its light."""
    return (colour[0] * share, colour[1] * share, colour[2] * share)


def rough(colour: Colour, rng: np.random.Generator, **strengths: float) -> Material:
    """Return a material whose texture strengths are drawn around those given, from a half to one and a half."""
    return Material(colour, {name: float(s * rng.uniform(0.5, 1.5)) for name, s in strengths.items()})


def flat(colour: Colour) -> Material:
    """Return a material that is nearly smooth."""
    return Material(colour, {"medium": 0.04, "fine": 0.04})
