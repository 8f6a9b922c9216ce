"""The nearest centre of each point, with bad points named; and all distances through one product.

The product cancels where x is close to y near the boundary, by a known amount: distances of such pairs are computed
by the direct formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from contrastbench.core.ops import nearest_centre as op
from contrastbench.longtail.geometry.ball import distance
from contrastbench.longtail.geometry.checks import check_points

_EXACT = 1e-8  # the relative error of squared distances above which pairs are computed directly

Distance = Callable[[Tensor, Tensor], Tensor]


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
    row, column = (squares <= reach * (2 * op.product_rounding(points.shape[1]) / _EXACT)).nonzero(as_tuple=True)
    distances = from_squares(squares.clamp_min_(0))
    if len(row):
        distances[row, column] = op.at_pairs(f, points, others, row, column)
    return distances


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
    return op.nearest_centre(points, centres, c, chunk=chunk)


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
