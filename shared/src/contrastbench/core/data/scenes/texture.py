"""Noise fields that surfaces take their texture from."""

from __future__ import annotations

import cv2
import numpy as np

# Each field is smooth noise on a grid of so many cells in the height of the image, and so many in a width of the same
# length. The first four are octaves; the last two are streaks, as of planks, mortar or far windows.
_CELLS = {
    "coarse": (5, 5),
    "medium": (14, 14),
    "fine": (36, 36),
    "grain": (90, 90),
    "upright": (4, 70),
    "level": (60, 4),
}
FIELDS = tuple(_CELLS)
"""Names of the texture fields."""


def texture_fields(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return one field of noise a name in ``FIELDS``, float32 ``[F, H, W]``, mean 0 and deviation about 1."""
    height, width = size
    fields = np.empty((len(FIELDS), height, width), np.float32)
    for out, (rows, columns) in zip(fields, _CELLS.values(), strict=True):
        columns = max(2, round(columns * width / height))
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        cv2.resize(grid, (width, height), dst=out, interpolation=cv2.INTER_CUBIC)
    return fields
