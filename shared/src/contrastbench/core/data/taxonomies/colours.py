"""Colours for classes that have none of their own."""

from __future__ import annotations

import colorsys


def colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return an RGB colour for each of ``count`` classes, all different: hues by the golden ratio, in three rings."""
    rings = ((0.65, 0.95), (0.9, 0.7), (0.45, 0.8))  # saturation and value

    def colour(index: int) -> tuple[int, int, int]:
        saturation, value = rings[index % len(rings)]
        red, green, blue = colorsys.hsv_to_rgb(index * 0.618033988749895 % 1, saturation, value)
        return round(255 * red), round(255 * green), round(255 * blue)

    return tuple(colour(index) for index in range(count))
