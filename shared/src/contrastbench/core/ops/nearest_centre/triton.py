"""Triton kernels that look at all pairs in float32 and settle every point whose nearest centre is beyond doubt.

Two of them: one takes differences, for the few dimensions of an embedding that is to be seen; one takes products. What
they leave open is settled in float64 by the screened product. The README derives how much either may be wrong.
"""

# mypy: disallow-untyped-defs=False

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from contrastbench.core.ops.choice import interpreted
from contrastbench.core.ops.nearest_centre import screened
from contrastbench.core.ops.nearest_centre.distances import distance_of, scales

# ruff: noqa: N803  constants of a kernel are written in capitals

_NUMBERS = 2**24  # of a block of points with what is computed for each: some hundred MB, and enough to fill a GPU
_DIFFERENCES = 4  # dimensions up to which differences are taken
_U = 2.0**-24  # the rounding of float32
_LARGEST = 2.0**30  # coordinates beyond it are left open, so that nothing here overflows
_STEEPEST = 2.0**24  # scales beyond it as well; a centre of the unit ball at 17.3 from the origin
_FAR = 2.0**50  # a coordinate of columns without centre
_TINY = 2.0**-20  # added to a squared norm: what float32 may lose of numbers too small for it
_NEVER = 2.0**124  # a value of such columns; no other comes near it


@triton.jit
def _halves(values):
    """Return float64 numbers as sums of two of float32."""
    high = values.to(tl.float32)
    return high, (values - high.to(tl.float64)).to(tl.float32)


@triton.jit
def _gap(high, low, table_ptr, stride, d, column):
    """Return the differences of one coordinate, ``[BLOCK_N, BLOCK_K]``: exact to twice the rounding of float32."""
    centre_high = tl.load(table_ptr + 2 * d * stride + column)
    centre_low = tl.load(table_ptr + (2 * d + 1) * stride + column)
    return (high[:, None] - centre_high[None, :]) + (low[:, None] - centre_low[None, :])


@triton.jit
def _least(best, second, tile, BLOCK_K: tl.constexpr):
    """Return a row's least value, its column, and the least of all others, of those kept for each place in a tile."""
    least = tl.min(best, 1)
    column = tile * BLOCK_K + tl.arange(0, BLOCK_K)[None, :]
    at = tl.min(tl.where(best == least[:, None], column, 2147483647), 1)
    others = tl.where(column == at[:, None], second, best)
    return least, at, tl.min(others, 1)


@triton.jit
def differences_kernel(
    points_ptr, table_ptr, bounds_ptr, index_ptr, n, columns, stride_n, stride_d,
    LIMIT: tl.constexpr, DIM: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """For BLOCK_N points ``[n, DIM]`` (float64): the nearest centre, or -1 where float32 leaves it open.

    Table ``[2 DIM + 1, columns]`` (float32): of each coordinate its two halves, then the scales. Bounds ``[3]``
    (float32): what the runner-up must exceed the best by, as a factor and as a multiple of ``|x|^2`` plus the third.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = row < n
    point = points_ptr + row * stride_n
    high0, low0 = _halves(tl.load(point, mask=inside, other=0.0))
    norm = high0 * high0
    if DIM > 1:
        high1, low1 = _halves(tl.load(point + stride_d, mask=inside, other=0.0))
        norm += high1 * high1
    if DIM > 2:
        high2, low2 = _halves(tl.load(point + 2 * stride_d, mask=inside, other=0.0))
        norm += high2 * high2
    if DIM > 3:
        high3, low3 = _halves(tl.load(point + 3 * stride_d, mask=inside, other=0.0))
        norm += high3 * high3

    # Kept apart for each place in a tile, and brought together once.
    best = tl.full((BLOCK_N, BLOCK_K), float("inf"), tl.float32)
    second = tl.full((BLOCK_N, BLOCK_K), float("inf"), tl.float32)
    tile = tl.zeros((BLOCK_N, BLOCK_K), tl.int32)
    for start in range(0, columns, BLOCK_K):
        column = start + tl.arange(0, BLOCK_K)
        gap = _gap(high0, low0, table_ptr, columns, 0, column)
        value = gap * gap
        if DIM > 1:
            gap = _gap(high1, low1, table_ptr, columns, 1, column)
            value += gap * gap
        if DIM > 2:
            gap = _gap(high2, low2, table_ptr, columns, 2, column)
            value += gap * gap
        if DIM > 3:
            gap = _gap(high3, low3, table_ptr, columns, 3, column)
            value += gap * gap
        value = value * tl.load(table_ptr + 2 * DIM * columns + column)[None, :]
        second = tl.minimum(second, tl.maximum(best, value))
        tile = tl.where(value < best, start // BLOCK_K, tile)
        best = tl.minimum(best, value)

    least, at, runner_up = _least(best, second, tile, BLOCK_K)
    grow, floor, reach = tl.load(bounds_ptr), tl.load(bounds_ptr + 1), tl.load(bounds_ptr + 2)
    # Comparisons with NaN are false, and leave a point open.
    sure = (runner_up > least * grow + (norm + reach) * floor) & (norm <= LIMIT)
    tl.store(index_ptr + row, tl.where(sure, at, -1).to(tl.int64), mask=inside)


@triton.jit
def products_kernel(
    points_ptr, norms_ptr, products_ptr, table_ptr, index_ptr, n, dim, columns,
    LIMIT: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """For BLOCK_N points ``[n, dim]`` (float32): the nearest centre, or -1 where float32 leaves it open.

    Norms ``[n]`` (float32): ``|x|^2``. Products ``[dim, columns]`` and table ``[4, columns]`` (float32): lower bounds
    are ``x products + |x|^2 table[0] + table[1]``, true values at most ``|x|^2 table[2] + table[3]`` above them.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = row < n
    norm = tl.load(norms_ptr + row, mask=inside, other=0.0)
    part = tl.arange(0, BLOCK_D)
    best = tl.full((BLOCK_N, BLOCK_K), float("inf"), tl.float32)
    second = tl.full((BLOCK_N, BLOCK_K), float("inf"), tl.float32)
    tile = tl.zeros((BLOCK_N, BLOCK_K), tl.int32)
    for start in range(0, columns, BLOCK_K):
        column = start + tl.arange(0, BLOCK_K)
        value = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
        for first in range(0, dim, BLOCK_D):
            d = first + part
            place = points_ptr + row[:, None] * dim + d[None, :]
            x = tl.load(place, mask=inside[:, None] & (d < dim)[None, :], other=0.0)
            y = tl.load(products_ptr + d[:, None] * columns + column[None, :], mask=(d < dim)[:, None], other=0.0)
            value = tl.dot(x, y, value, input_precision="ieee")
        value += norm[:, None] * tl.load(table_ptr + column)[None, :]
        value += tl.load(table_ptr + columns + column)[None, :]
        second = tl.minimum(second, tl.maximum(best, value))
        tile = tl.where(value < best, start // BLOCK_K, tile)
        best = tl.minimum(best, value)

    least, at, runner_up = _least(best, second, tile, BLOCK_K)
    at_best = table_ptr + tl.minimum(at, columns - 1)
    slack = norm * tl.load(at_best + 2 * columns) + tl.load(at_best + 3 * columns)
    sure = (runner_up > least + slack) & (norm <= LIMIT)
    tl.store(index_ptr + row, tl.where(sure, at, -1).to(tl.int64), mask=inside)


class _Differences:
    """Differences of two halves each, for up to four dimensions."""

    def __init__(self, centres: Tensor, scale: Tensor, within: Tensor) -> None:
        dim = centres.shape[1]
        # a thread keeps its rows' coordinates in registers, so more dimensions mean fewer rows
        self.rows, self.tile = (16, 16) if interpreted() else (64 if dim <= 2 else 32, 32)
        self.columns = triton.cdiv(len(centres), self.tile) * self.tile
        table = centres.new_zeros((2 * dim + 1, self.columns), dtype=torch.float32)
        table[0:-1:2] = _FAR
        table[-1] = _STEEPEST
        high = centres.T.float()
        table[0:-1:2, : len(centres)] = high
        table[1:-1:2, : len(centres)] = (centres.T - high).float()
        table[-1, : len(centres)] = scale
        self.table = table
        grow = torch.full_like(scale[0], 1 + 9 * (dim + 8) * _U)
        floor = torch.where(within, 16 * scale.max() * _U**3, torch.inf)
        self.bounds = torch.stack([grow, floor, centres.square().sum(1).max() + _TINY]).float()

    def __call__(self, x: Tensor, index: Tensor) -> None:
        differences_kernel[(triton.cdiv(len(x), self.rows),)](
            x,
            self.table,
            self.bounds,
            index,
            len(x),
            self.columns,
            *x.stride(),
            LIMIT=_LARGEST**2,
            DIM=x.shape[1],
            BLOCK_N=self.rows,
            BLOCK_K=self.tile,
            num_warps=4,
        )


class _Products:
    """Products, for any number of dimensions."""

    def __init__(self, centres: Tensor, scale: Tensor, within: Tensor) -> None:
        dim = centres.shape[1]
        self.rows, self.tile = (16, 16) if interpreted() else (64, 64)
        self.columns = triton.cdiv(len(centres), self.tile) * self.tile
        unit = 2 * (dim + 16) * _U
        squared = centres.square().sum(1)
        self.products = centres.new_zeros((dim, self.columns), dtype=torch.float32)
        self.products[:, : len(centres)] = -2 * scale * centres.T
        table = centres.new_zeros((4, self.columns), dtype=torch.float32)
        table[1] = _NEVER
        slack = torch.where(within, 2.01 * unit * scale, torch.inf)
        found = [(1 - unit) * scale, (1 - unit) * scale * squared, slack, slack * squared + dim * 2.0**-95]
        table[:, : len(centres)] = torch.stack(found)
        self.table = table

    def __call__(self, x: Tensor, index: Tensor) -> None:
        products_kernel[(triton.cdiv(len(x), self.rows),)](
            x.float().contiguous(),
            x.square().sum(1).float(),
            self.products,
            self.table,
            index,
            len(x),
            x.shape[1],
            self.columns,
            LIMIT=_LARGEST**2,
            BLOCK_N=self.rows,
            BLOCK_K=self.tile,
            BLOCK_D=16,
            num_warps=8,
        )


@torch.library.custom_op("contrastbench::nearest_centre", mutates_args=())
def _nearest_centre(points: Tensor, centres: Tensor, c: float | None, chunk: int | None) -> tuple[Tensor, Tensor]:
    f, scale = distance_of(c), scales(centres, c)
    within = (centres.abs().max() <= _LARGEST) & (scale.min() > 0) & (scale.max() <= _STEEPEST)
    screen = (_Differences if centres.shape[1] <= _DIFFERENCES else _Products)(centres, scale, within)
    index = torch.empty(len(points), dtype=torch.int64, device=points.device)
    distances = torch.empty(len(points), dtype=torch.float64, device=points.device)
    rows = chunk or max(_NUMBERS // max(centres.shape[1], 4), 1)
    for start in range(0, len(points), rows):
        place = slice(start, start + rows)
        x, found = points[place].double(), index[place]
        with torch.cuda.device_of(x):
            screen(x, found)
        left = (found < 0).nonzero()[:, 0]
        if len(left):
            found[left] = screened.nearest_centre(x[left], centres, c, None)[0]
        distances[place] = f(x, centres[found])
    return index, distances


@_nearest_centre.register_fake
def _(points: Tensor, centres: Tensor, c: float | None, chunk: int | None) -> tuple[Tensor, Tensor]:
    return points.new_empty(len(points), dtype=torch.int64), points.new_empty(len(points), dtype=torch.float64)


def nearest_centre(points: Tensor, centres: Tensor, c: float | None, chunk: int | None) -> tuple[Tensor, Tensor]:
    """Return the nearest of centres ``[k, D]`` for each of points ``[n, D]``.

    See :func:`contrastbench.core.ops.nearest_centre.api.nearest_centre`.
    """
    index, distances = _nearest_centre(points, centres, c, chunk)
    return index, distances
