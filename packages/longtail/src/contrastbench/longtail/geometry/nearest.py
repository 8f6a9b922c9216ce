"""The nearest centre of each point: one matrix product a block, decided by the exact distance where that is close.

For a fixed x, the distance of Eq. 2 grows with ``|x - y|^2 / (1 - c |y|^2)``: no inverse of cosh is needed to compare
centres, and this is a product of ``(x, |x|^2, 1)`` with a table of the centres. The product cancels where x is close to
y near the boundary, by a known amount: a centre within that amount of the best is compared by the direct formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from contrastbench.longtail.geometry.ball import distance
from contrastbench.longtail.geometry.checks import check_points

_BLOCK = {"cpu": 2**18, "cuda": 2**26}  # numbers in a block of the product: the cache of a CPU core, some of a GPU
_PAIRS = 2**16  # pairs compared directly at a time
_EXACT = 1e-8  # the relative error of squared distances above which pairs are computed directly

Distance = Callable[[Tensor, Tensor], Tensor]


def _unit(dim: int) -> float:
    """Return the relative rounding of a product of ``dim + 2`` terms whose factors are rounded themselves."""
    return (dim + 8) * torch.finfo(torch.float64).eps


def _blocks(points: Tensor, columns: int, chunk: int | None) -> Iterator[tuple[slice, Tensor]]:
    """Yield places and float64 points such that a block by the columns stays small."""
    rows = chunk or max(_BLOCK.get(points.device.type, 2**18) // max(columns, 1), 16)
    for start in range(0, len(points), rows):
        block = points[start : start + rows].double()
        yield slice(start, start + len(block)), block


def _gather(f: Distance, x: Tensor, y: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Return ``f`` of the pairs ``x[row], y[column]``, a bounded number at a time."""
    pairs = zip(row.split(_PAIRS), column.split(_PAIRS), strict=True)
    return torch.cat([f(x[r], y[k]) for r, k in pairs])


def _decide(f: Distance, x: Tensor, y: Tensor, close: Tensor) -> Tensor:
    """Return for each row the column of the smallest ``f`` among those marked ``[m, k]``, the first of equal ones."""
    row, column = close.nonzero(as_tuple=True)
    value = _gather(f, x, y, row, column)
    best = value.new_full((len(x),), math.inf).scatter_reduce(0, row, value, "amin")
    won = value == best[row]
    return row.new_full((len(x),), len(y)).scatter_reduce(0, row[won], column[won], "amin")


def nearest(
    points: Tensor, centres: Tensor, scale: Tensor, f: Distance, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return for each point the centre where ``scale |x - y|^2`` is smallest, and its distance.

    Args:
        points: ``[n, D]``, any floating dtype.
        centres: ``[k, D]`` (float64).
        scale: ``[k]`` (float64); the order it gives must be that of ``f``.
        f: the distance between rows of two tensors ``[m, D]``.
        chunk: points compared together; by default as many as suit the device.

    Returns:
        ``[n]`` (int64) the first of the nearest centres, and ``[n]`` (float64) the distance to it.
    """
    unit = _unit(centres.shape[1])
    squared = centres.square().sum(1)
    # a lower bound: the product less the most by which it may be wrong, 2 unit scale (|x|^2 + |y|^2)
    less = 1 - 2 * unit
    table = torch.stack([*(-2 * scale * centres.T), less * scale, less * scale * squared])
    index = torch.empty(len(points), dtype=torch.int64, device=points.device)
    distances = torch.empty(len(points), dtype=torch.float64, device=points.device)
    for place, x in _blocks(points, len(centres), chunk):
        norms = x.square().sum(1)
        lower = torch.cat([x, norms[:, None], torch.ones_like(norms)[:, None]], 1) @ table
        low, first = lower.min(1)
        upper = low + 4 * unit * scale[first] * (norms + squared[first])
        close = lower <= upper[:, None]
        if int(close.sum()) > len(x):
            unsure = (close.sum(1) > 1).nonzero()[:, 0]
            first[unsure] = _decide(f, x[unsure], centres, close[unsure])
        index[place] = first
        distances[place] = f(x, centres[first])
    return index, distances


def pairwise(points: Tensor, others: Tensor, f: Distance, from_squares: Callable[[Tensor], Tensor]) -> Tensor:
    """Return all distances ``[n, a]`` through one product, those of close pairs directly.

    Args:
        points: ``[n, D]`` (float64), a block small enough for an ``[n, a]`` matrix.
        others: ``[a, D]`` (float64).
        f: the distance between rows of two tensors ``[m, D]``.
        from_squares: what makes distances ``[n, a]`` of the squared Euclidean ones.
    """
    norms, squared = points.square().sum(1)[:, None], others.square().sum(1)
    reach = norms + squared
    squares = torch.addmm(reach, points, others.T, alpha=-2)
    row, column = (squares <= reach * (2 * _unit(points.shape[1]) / _EXACT)).nonzero(as_tuple=True)
    distances = from_squares(squares.clamp_min_(0))
    if len(row):
        distances[row, column] = _gather(f, points, others, row, column)
    return distances


def ball_scale(centres: Tensor, c: float) -> Tensor:
    """Return ``1 / (1 - c |y|^2)`` ``[k]`` of centres ``[k, D]``."""
    return 1 / (1 - c * centres.square().sum(1))


@torch.no_grad()
def nearest_centre(points: Tensor, centres: Tensor, c: float = 1.0, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the nearest centre of each point in the ball, and the geodesic distance to it.

    Memory beyond the result is bounded, whatever the number of points.

    Args:
        points: ``[n, D]``, any floating dtype; not copied as a whole.
        centres: ``[k, D]``.
        c: minus the curvature.
        chunk: points compared together; by default as many as suit the device.

    Returns:
        ``[n]`` (int64), the first of equally near centres, and ``[n]`` (float64).

    Raises:
        InputError: of points or centres that are not finite, or not in the ball.
    """
    check_points(points, "points", c)
    check_points(centres, "centres", c)
    centres = centres.double()
    return nearest(points, centres, ball_scale(centres, c), lambda x, y: distance(x, y, c), chunk)


@torch.no_grad()
def pairwise_distance(points: Tensor, others: Tensor, c: float = 1.0) -> Tensor:
    """Return all geodesic distances ``[n, a]`` (float64) of points ``[n, D]`` to others ``[a, D]`` in the ball.

    Args:
        points: ``[n, D]``, any floating dtype: a block small enough for an ``[n, a]`` matrix.
        others: ``[a, D]``.
        c: minus the curvature.
    """
    points, others = points.double(), others.double()
    room = (1 - c * points.square().sum(1)).sqrt()[:, None] * (1 - c * others.square().sum(1)).sqrt()
    root = math.sqrt(c)
    return pairwise(
        points,
        others,
        lambda x, y: distance(x, y, c),
        lambda squares: squares.sqrt_().mul_(root).div_(room).asinh_().mul_(2 / root),
    )
