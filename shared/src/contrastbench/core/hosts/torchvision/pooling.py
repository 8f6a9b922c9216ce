"""RoIAlign from a feature pyramid."""

from __future__ import annotations

import math

from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

LEVELS = ("0", "1", "2", "3")
"""Names of the pyramid's maps that RoIs are taken from; each has twice the stride of the one before it."""


class PyramidRoIAlign(MultiScaleRoIAlign):
    """RoIAlign from the pyramid, whose strides it is told.

    Torchvision's own guesses them from the first images it meets, and from then on keeps a wrong guess when these
    were small and padded.

    Args:
        side: bins a side of a RoI.
        sampling_ratio: a bin is the mean of so many samples squared.
        first_stride: of the pyramid's first map, in pixels.
    """

    def __init__(self, side: int, sampling_ratio: int, first_stride: int) -> None:
        super().__init__(LEVELS, side, sampling_ratio)
        first = int(math.log2(first_stride))
        self.scales = [0.5 ** (first + level) for level in range(len(LEVELS))]
        self.map_levels = initLevelMapper(first, first + len(LEVELS) - 1, self.canonical_scale, self.canonical_level)
