"""What is compared: the distance of two points, and what orders the centres of one point alike without its asinh."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_PAIRS = 2**16  # pairs compared directly at a time

Distance = Callable[[Tensor, Tensor], Tensor]


def _squared(x: Tensor) -> Tensor:
    return x.square().sum(-1, keepdim=True)


def ball_distance(x: Tensor, y: Tensor, c: float = 1.0) -> Tensor:
    """Return the geodesic distance between points of the ball (Weng et al., CVPR 2021, Eq. 2).

    With ``cosh d = 1 + 2u``, ``u = sinh^2(d / 2)``: taking the inverse of sinh instead of that of cosh keeps
    distances down to the smallest, and their gradients finite, where ``acosh(1 + 2u)`` rounds them to zero.

    Args:
        x: ``[..., D]``, any floating dtype, inside the ball.
        y: ``[..., D]``, broadcast against ``x``.
        c: minus the curvature.

    Returns:
        ``[...]`` (float64). The gradient where ``x`` equals ``y`` is zero. A point outside the ball gives NaN.
    """
    x, y = x.double(), y.double()
    root = math.sqrt(c)
    sinh_half = root * torch.linalg.vector_norm(x - y, dim=-1, keepdim=True)
    sinh_half = sinh_half / ((1 - c * _squared(x)).sqrt() * (1 - c * _squared(y)).sqrt())
    return 2 / root * sinh_half.squeeze(-1).asinh()


def euclidean_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return ``|x - y|`` (float64) along the last dimension."""
    return torch.linalg.vector_norm(x.double() - y.double(), dim=-1)


def distance_of(c: float | None) -> Distance:
    """Return the distance in the ball of curvature -c, or in Euclidean space where c is None."""
    return euclidean_distance if c is None else lambda x, y: ball_distance(x, y, c)


def scales(centres: Tensor, c: float | None) -> Tensor:
    """Return s ``[k]`` (float64): ``s |x - y|^2`` orders the centres ``[k, D]`` of a point as distances do."""
    if c is None:
        return torch.ones_like(centres[:, 0], dtype=torch.float64)
    return 1 / (1 - c * centres.double().square().sum(1))


def at_pairs(f: Distance, x: Tensor, y: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Return ``f`` of the pairs ``x[row], y[column]``, a bounded number at a time."""
    pairs = zip(row.split(_PAIRS), column.split(_PAIRS), strict=True)
    return torch.cat([f(x[r], y[k]) for r, k in pairs])


def product_rounding(dim: int) -> float:
    """Return the relative rounding of a float64 product of ``dim + 2`` terms whose factors are rounded too."""
    return (dim + 8) * torch.finfo(torch.float64).eps
