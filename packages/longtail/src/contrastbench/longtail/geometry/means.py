"""Means in the ball: the Einstein midpoint, and the Frechet mean as midpoints reweighted until they rest.

The Einstein midpoint minimises the weighted sum of ``cosh d``. The square of d is a concave function of cosh d, so its
tangent lies above it, and the midpoint with each weight times ``d / sinh d`` lowers the sum of squared distances, which
the Frechet mean minimises (Lou et al., Differentiating through the Frechet Mean, ICML 2020). No step size is needed,
where log/exp iterations with a step of 1 run away from clusters of a large radius.

Many groups of points are averaged at once; memory beyond the points is a few numbers for each point.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.group_sums import group_sums
from contrastbench.longtail.geometry.ball import distance
from contrastbench.longtail.geometry.checks import check_points

_ROWS = 2**16  # points looked at together
_ITERATIONS = 1000


class Grouping:
    """Which points belong to which of G groups, in an order that makes a group's sum one run over its members."""

    def __init__(self, group: Tensor, groups: int) -> None:
        """Sort the points by group; ``group`` ``[n]`` (int64)."""
        self.group, self.groups = group, groups
        self.rows = group.argsort(stable=True)
        self._measure()

    def _measure(self) -> None:
        sizes = torch.bincount(self.group[self.rows], minlength=self.groups)
        self.offsets = sizes.cumsum(0) - sizes

    def keep(self, active: Tensor) -> None:
        """Forget the members of the groups where ``active`` ``[G]`` (bool) is false."""
        self.rows = self.rows[active[self.group[self.rows]]]
        self._measure()

    def sums(self, values: Tensor, weights: Tensor) -> Tensor:
        """Return ``[G, D]`` weighted sums of values ``[n, D]``, the weights ``[len(rows)]`` in the order of rows."""
        return group_sums(values, self.offsets, self.rows, weights)

    def scalar_sums(self, values: Tensor) -> Tensor:
        """Return ``[G, 1]`` sums of ``values`` ``[len(rows)]``."""
        return group_sums(values[:, None], self.offsets)

    def blocks(self) -> list[tuple[Tensor, Tensor]]:
        """Return the rows and their groups, a bounded number at a time."""
        return [(rows, self.group[rows]) for rows in self.rows.split(_ROWS)]


def _midpoints(x: Tensor, members: Grouping, weights: Tensor) -> Tensor:
    """Return ``[G, D]`` Einstein midpoints in the unit ball; ``weights`` in the order of ``members.rows``."""
    squared = x.square().sum(1)[members.rows]
    weights = weights / (1 - squared)
    # space and time of the sum on the hyperboloid; time - |space| is small near the boundary, so it is not taken as
    # a difference: it is the weighted sum of squared distances from the point of the boundary in the sum's direction
    space = 2 * members.sums(x, weights)
    time = members.scalar_sums(weights * (1 + squared))
    length = torch.linalg.vector_norm(space, dim=1, keepdim=True)
    towards = space / length.clamp_min(torch.finfo(space.dtype).tiny)
    gaps = [(x[rows] - towards[group]).square().sum(1) for rows, group in members.blocks()]
    gap = members.scalar_sums(weights * torch.cat(gaps)) if gaps else time
    return space / (time + (gap * (time + length)).sqrt()).clamp_min(torch.finfo(space.dtype).tiny)


def group_midpoints(x: Tensor, group: Tensor, groups: int, c: float = 1.0, weights: Tensor | None = None) -> Tensor:
    """Return the Einstein midpoint of each group: in closed form, drawn more to the members near the boundary.

    Args:
        x: ``[n, D]`` (float64), inside the ball.
        group: ``[n]`` (int64), the group of each point, from 0 to G - 1.
        groups: G.
        c: minus the curvature.
        weights: ``[n]`` (float64), positive or zero; 1 where omitted.

    Returns:
        ``[G, D]`` (float64); the origin for a group without members.
    """
    members = Grouping(group, groups)
    weights = torch.ones_like(x[:, 0]) if weights is None else weights
    return _midpoints(x * math.sqrt(c), members, weights[members.rows]) / math.sqrt(c)


def group_means(
    x: Tensor, group: Tensor, groups: int, c: float = 1.0, weights: Tensor | None = None, tolerance: float = 1e-6
) -> Tensor:
    """Return the Frechet mean of each group: where the weighted sum of squared distances to its members is smallest.

    Args:
        x: ``[n, D]`` (float64), inside the ball.
        group: ``[n]`` (int64), the group of each point, from 0 to G - 1.
        groups: G.
        c: minus the curvature.
        weights: ``[n]`` (float64), positive or zero; 1 where omitted.
        tolerance: how far, as a distance, a mean may be from the exact one. Groups that are there are left alone.

    Returns:
        ``[G, D]`` (float64); the origin for a group without members.
    """
    root = math.sqrt(c)
    x = x * root if c != 1 else x
    members = Grouping(group, groups)
    weights = torch.ones_like(x[:, 0]) if weights is None else weights
    mean = _midpoints(x, members, weights[members.rows])
    active = torch.bincount(group, minlength=groups) > 1  # a mean of one is that one
    for _ in range(_ITERATIONS):
        members.keep(active)
        if not len(members.rows):
            break
        d = torch.cat([distance(x[rows], mean[of]) for rows, of in members.blocks()])
        w = weights[members.rows]
        step = _midpoints(x, members, w * torch.where(d > 0, d / d.sinh(), 1.0))
        moved = distance(step, mean)
        mean = torch.where(active[:, None], step, mean)
        # the sum is strongly convex with constant 1, and a step is its gradient over the mean of d coth d <= 1 + d
        radius = (members.scalar_sums(w * d) / members.scalar_sums(w))[:, 0]
        active = active & (moved * (1 + radius) > tolerance * root)
    return mean / root


def _one_group(points: Tensor, weights: Tensor | None, c: float) -> tuple[Tensor, Tensor, Tensor | None]:
    check_points(points, "points", c)
    if not len(points):
        raise InputError("there is no mean of no points; give at least one")
    if weights is not None:
        if weights.shape != points.shape[:1]:
            raise InputError(f"weights have shape {tuple(weights.shape)}, one a point was expected: ({len(points)},)")
        weights = weights.to(points.device, torch.float64)
        if not bool((weights >= 0).all()) or not 0 < float(weights.sum()) < math.inf:
            raise InputError("weights must be finite, zero or positive, and not all zero")
    return points.double(), torch.zeros(len(points), dtype=torch.int64, device=points.device), weights


@torch.no_grad()
def einstein_midpoint(points: Tensor, weights: Tensor | None = None, c: float = 1.0) -> Tensor:
    """Return the Einstein midpoint of points in the ball.

    Args:
        points: ``[n, D]``, any floating dtype.
        weights: ``[n]``, zero or positive; equal where omitted.
        c: minus the curvature.

    Returns:
        ``[D]`` (float64), without gradient.

    Raises:
        InputError: of points that are not in the ball, or weights that do not fit.
    """
    x, group, weights = _one_group(points, weights, c)
    return group_midpoints(x, group, 1, c, weights)[0]


@torch.no_grad()
def frechet_mean(points: Tensor, weights: Tensor | None = None, c: float = 1.0, tolerance: float = 1e-6) -> Tensor:
    """Return the Frechet (Karcher) mean of points in the ball, which minimises the sum of squared distances.

    Args:
        points: ``[n, D]``, any floating dtype.
        weights: ``[n]``, zero or positive; equal where omitted.
        c: minus the curvature.
        tolerance: how far, as a distance, the result may be from the exact mean.

    Returns:
        ``[D]`` (float64), without gradient.

    Raises:
        InputError: of points that are not in the ball, or weights that do not fit.
    """
    x, group, weights = _one_group(points, weights, c)
    return group_means(x, group, 1, c, weights, tolerance)[0]
