"""The specification: the float64 distance to every centre, and the first of the least."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.ops.nearest_centre.distances import distance_of

_NUMBERS = 2**22  # in a block of differences


def nearest_centre(points: Tensor, centres: Tensor, c: float | None, chunk: int | None) -> tuple[Tensor, Tensor]:
    """Return the nearest of centres ``[k, D]`` for each of points ``[n, D]``.

    See :func:`contrastbench.core.ops.nearest_centre.api.nearest_centre`.
    """
    f = distance_of(c)
    index = torch.empty(len(points), dtype=torch.int64, device=points.device)
    distances = torch.empty(len(points), dtype=torch.float64, device=points.device)
    column = torch.arange(len(centres), device=points.device)
    rows = chunk or max(_NUMBERS // centres.numel(), 1)
    for start in range(0, len(points), rows):
        place = slice(start, min(start + rows, len(points)))
        d = f(points[place, None], centres)
        least = d.amin(1)
        distances[place] = least
        # torch leaves open which of equal ones argmin takes; a point that is not finite keeps to the last column
        first = torch.where(d == least[:, None], column, len(centres)).amin(1)
        index[place] = first.clamp_max(len(centres) - 1)
    return index, distances
