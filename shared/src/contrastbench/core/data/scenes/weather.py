"""Light and camera: from surfaces to the colours of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from contrastbench.core.data.scenes.canvas import Canvas, Colour
from contrastbench.core.data.scenes.texture import texture_fields


@dataclass(frozen=True)
class Weather:
    """The light of one scene and the state of its camera.

    Attributes:
        sky: colour at the zenith.
        haze: colour at the horizon, into which far things fade.
        range: distance in metres at which 63 % has faded.
        shadow: share of light left in a shadow.
        lean: how far a shadow falls, in lengths of what throws it; negative to the left.
        night: whether windows and lamps are lit.
        gain: brightness.
        contrast: contrast about middle grey.
        cast: colour cast, a factor a channel.
        blur: standard deviation of the blur, in image heights.
        noise: standard deviation of the sensor noise, of 255.
    """

    sky: Colour
    haze: Colour
    range: float
    shadow: float
    lean: float
    night: bool
    gain: float
    contrast: float
    cast: Colour
    blur: float
    noise: float


_SKIES: dict[str, tuple[Colour, Colour]] = {
    "clear": ((95, 140, 205), (190, 205, 215)),
    "overcast": ((165, 168, 172), (196, 196, 194)),
    "evening": ((120, 115, 150), (225, 175, 135)),
    "fog": ((178, 180, 180), (186, 187, 186)),
    "night": ((32, 36, 58), (70, 68, 74)),
}
_SKY_SHARES = (0.38, 0.32, 0.14, 0.07, 0.09)


def draw_weather(rng: np.random.Generator) -> Weather:
    """Draw the weather, the hour and the camera's settings."""
    kind = str(rng.choice(list(_SKIES), p=_SKY_SHARES))
    sky, haze = (_jitter(colour, 18, rng) for colour in _SKIES[kind])
    night, sunny = kind == "night", kind in ("clear", "evening")
    return Weather(
        sky=sky,
        haze=haze,
        range=float(rng.uniform(25, 50) if kind == "fog" else rng.uniform(90, 400)),
        shadow=float(rng.uniform(0.42, 0.62) if sunny else rng.uniform(0.7, 0.88)),
        lean=float(rng.choice((-1, 1)) * rng.uniform(0.3, 1.6)) if sunny else 0.0,
        night=night,
        gain=float(rng.uniform(0.5, 0.7) if night else rng.uniform(0.8, 1.15)),
        contrast=float(rng.uniform(0.75, 1.2)),
        cast=_jitter((1.0, 1.0, 1.0), 0.09, rng),
        blur=float(rng.uniform(0.002, 0.006)),
        noise=float(rng.uniform(6, 12) if night else rng.uniform(2, 8)),
    )


def develop(canvas: Canvas, weather: Weather, rng: np.random.Generator) -> np.ndarray:
    """Return the picture of a canvas, uint8 ``[H, W, 3]``.

    Args:
        canvas: what was painted.
        weather: the light it is seen in.
        rng: for texture and noise; all randomness that depends on the resolution is here.
    """
    size = (canvas.height, canvas.width)
    colours = np.asarray(canvas.colours, np.float32)
    roughness = np.asarray(canvas.roughness, np.float32)
    far = 1 - np.exp(-np.asarray(canvas.depths, np.float32) / weather.range)

    brightness = canvas.light.astype(np.float32) / 255
    texture = np.ones(size, np.float32)
    for strength, noise in zip(roughness.T, texture_fields(size, rng), strict=True):
        texture += strength[canvas.seen] * noise
    brightness *= np.clip(texture, 0.15, 2.2)

    picture = colours[canvas.seen] * brightness[..., None]
    fade = far[canvas.seen][..., None]
    picture += fade * (np.asarray(weather.haze, np.float32) - picture)
    return _expose(picture, weather, rng)


def _expose(picture: np.ndarray, weather: Weather, rng: np.random.Generator) -> np.ndarray:
    gain = np.asarray(weather.cast, np.float32) * np.float32(weather.gain)
    picture = (picture * gain - 110) * np.float32(weather.contrast) + 110
    height = picture.shape[0]
    picture = cv2.GaussianBlur(picture, (0, 0), max(0.3, weather.blur * height))
    noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(weather.noise)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def _jitter(colour: Colour, spread: float, rng: np.random.Generator) -> Colour:
    shift = rng.uniform(-spread, spread, 3)
    return (colour[0] + shift[0], colour[1] + shift[1], colour[2] + shift[2])
