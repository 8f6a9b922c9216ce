"""One product a block in float64, decided by the distance itself where two centres come out as good as equal."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from contrastbench.core.ops.nearest_centre.distances import Distance, at_pairs, distance_of, product_rounding, scales

_BLOCK = {"cpu": 2**18, "cuda": 2**26}  # numbers in a block of the product: the cache of a CPU core, some of a GPU
_WIDTH = 48  # columns of which the least is taken first: much faster than a search for its place among all
_FLAT = 160  # float64 roundings of a distance that asinh may hide: centres so close may have the same distance


def _blocks(points: Tensor, columns: int, chunk: int | None) -> Iterator[tuple[slice, Tensor]]:
    """Yield places and float64 points such that a block by the columns stays small."""
    rows = chunk or max(_BLOCK.get(points.device.type, 2**18) // columns, 16)
    for start in range(0, len(points), rows):
        block = points[start : start + rows].double()
        yield slice(start, start + len(block)), block


def _decide(f: Distance, x: Tensor, y: Tensor, close: Tensor) -> Tensor:
    """Return for each row the column of the smallest ``f`` among those marked ``[m, k]``, the first of equal ones."""
    row, column = close.nonzero(as_tuple=True)
    value = at_pairs(f, x, y, row, column)
    best = value.new_full((len(x),), math.inf).scatter_reduce(0, row, value, "amin")
    won = value == best[row]
    return row.new_full((len(x),), len(y)).scatter_reduce(0, row[won], column[won], "amin")


def _table(centres: Tensor, squared: Tensor, scale: Tensor, unit: float) -> Tensor:
    """Return ``[D + 2, columns]``: ``(x, |x|^2, 1)`` times it are lower bounds, infinite where there is no centre."""
    # the product less the most by which it may be wrong, 2 unit scale (|x|^2 + |y|^2)
    less = 1 - 2 * unit
    table = torch.stack([*(-2 * scale * centres.T), less * scale, less * scale * squared])
    spare = table.new_zeros(len(table), -len(centres) % _WIDTH)
    spare[-1] = math.inf
    return torch.cat([table, spare], 1)


def nearest_centre(points: Tensor, centres: Tensor, c: float | None, chunk: int | None) -> tuple[Tensor, Tensor]:
    """Return the nearest of centres ``[k, D]`` for each of points ``[n, D]``.

    See :func:`contrastbench.core.ops.nearest_centre.api.nearest_centre`.
    """
    f, scale = distance_of(c), scales(centres, c)
    unit = product_rounding(centres.shape[1])
    reach = 4 * unit + 2 * _FLAT * torch.finfo(torch.float64).eps
    squared = centres.square().sum(1)
    table = _table(centres, squared, scale, unit)
    index = torch.empty(len(points), dtype=torch.int64, device=points.device)
    distances = torch.empty(len(points), dtype=torch.float64, device=points.device)
    for place, x in _blocks(points, len(centres), chunk):
        norms = x.square().sum(1)
        lower = torch.cat([x, norms[:, None], torch.ones_like(norms)[:, None]], 1) @ table
        by_group = lower.view(len(x), -1, _WIDTH)
        groups = by_group.amin(2)
        low, group = groups.min(1)
        # whatever else is close lies in the same group, or is a reason for its own group to be close
        inner = by_group[torch.arange(len(x), device=x.device), group]
        first = group * _WIDTH + inner.argmin(1)
        upper = (low + reach * scale[first] * (norms + squared[first]))[:, None]
        unsure = ((groups <= upper).sum(1) + (inner <= upper).sum(1) > 2).nonzero()[:, 0]
        if len(unsure):
            close = (lower[unsure] <= upper[unsure])[:, : len(centres)]
            first[unsure] = _decide(f, x[unsure], centres, close)
        index[place] = first
        distances[place] = f(x, centres[first])
    return index, distances
