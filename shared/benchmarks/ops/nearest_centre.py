"""Assignment to the nearest of 1,500 centres in the Poincare ball, and the sums that new centres are made of.

python shared/benchmarks/ops/nearest_centre.py [--device cpu|cuda] [--json FILE]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from contrastbench.core.ops.group_sums import group_sums
from contrastbench.core.ops.nearest_centre import nearest_centre
from contrastbench.core.testing.bench import Case, runs_anywhere
from contrastbench.core.testing.bench.command import main

CENTRES = 1500
ROWS = 1000  # points that geoopt's distance is computed for at a time: each of its steps on all would hold 480 MB


class Problem(NamedTuple):
    """Points ``[n, D]`` and centres ``[k, D]`` (float64)."""

    points: Tensor
    centres: Tensor


class Members(NamedTuple):
    """Points ``[n, D]``, the cluster of each, and the same by clusters as ``group_sums`` takes them."""

    points: Tensor
    cluster: Tensor
    rows: Tensor
    offsets: Tensor
    weights: Tensor


def problem(device: str, small: bool, *, points: int, dim: int) -> Problem:
    """Draw points and centres at distances of about 4 from the origin."""
    torch.manual_seed(0)
    n, k = (997, 61) if small else (points, CENTRES)
    v = torch.randn(n + k, dim, dtype=torch.float64, device=device).mul_(2 / dim**0.5)
    norm = torch.linalg.vector_norm(v, dim=1, keepdim=True)
    # the exponential map at the origin
    v.mul_((norm.tanh() / norm).clamp_max_((1 - 1e-5) / norm))
    return Problem(v[:n], v[n:].clone())


def geoopts(inputs: Problem) -> Tensor:
    """Return the least of geoopt's distances, and find where it is, a thousand points at a time."""
    import geoopt

    ball = geoopt.PoincareBall(c=torch.tensor(1.0, dtype=torch.float64, device=inputs.points.device))
    parts = [ball.dist(x[:, None], inputs.centres).min(1) for x in inputs.points.split(ROWS)]
    assert parts[0].indices.dtype == torch.int64
    return torch.cat([part.values for part in parts])


def ours(impl: str, inputs: Problem) -> Tensor:
    """Return the distances to the nearest centres."""
    return nearest_centre(*inputs, impl=impl)[1]


def members(device: str, small: bool, *, points: int, dim: int) -> Members:
    """Draw points of clusters of all sizes, from hundreds to a tenth of all."""
    torch.manual_seed(0)
    n, k = (997, 61) if small else (points, CENTRES)
    x = torch.rand(n, dim, dtype=torch.float64, device=device)
    cluster = (torch.rand(n, device=device).square() * k).long().clamp_max_(k - 1)
    rows = cluster.argsort(stable=True)
    sizes = torch.bincount(cluster, minlength=k)
    weights = torch.rand(n, dtype=torch.float64, device=device)
    return Members(x, cluster, rows, sizes.cumsum(0) - sizes, weights)


def added(inputs: Members) -> Tensor:
    """Add each weighted point to its cluster's sum."""
    sums = inputs.points.new_zeros(len(inputs.offsets), inputs.points.shape[1])
    weights = torch.empty_like(inputs.weights).index_copy_(0, inputs.rows, inputs.weights)
    return sums.index_add_(0, inputs.cluster, inputs.points * weights[:, None])


def summed(impl: str, inputs: Members) -> Tensor:
    """Return the sums of clusters whose members are sorted already."""
    return group_sums(inputs.points, inputs.offsets, inputs.rows, inputs.weights, impl=impl)


def _skip(formulation: str, device: str, *, points: int) -> str | None:
    if formulation == "geoopt" and device == "cpu" and points > 20_000:
        return "minutes; its time grows with the points, see 20,000"
    return runs_anywhere(formulation, device)


def _nearest(points: int, dim: int, devices: tuple[str, ...]) -> Case:
    return Case(
        f"nearest_centre, {points:,} x {CENTRES:,}, {dim} dimensions",
        partial(problem, points=points, dim=dim),
        {"geoopt": geoopts, "screened": partial(ours, "screened"), "triton": partial(ours, "triton")},
        tolerance=1e-7,
        # a product of (x, |x|^2, 1) with a table of the centres; points read, places and distances written
        flops=2.0 * points * CENTRES * (dim + 1),
        moved_bytes=8.0 * points * (dim + 2),
        devices=devices,
        skip=partial(_skip, points=points),
    )


def _sums(points: int, dim: int) -> Case:
    return Case(
        f"group_sums, {points:,} x {dim} into {CENTRES:,}",
        partial(members, points=points, dim=dim),
        {"plain": added, "bags": partial(summed, "bags"), "triton": partial(summed, "triton")},
        tolerance=1e-10,
        flops=2.0 * points * dim,
        moved_bytes=8.0 * points * (dim + 2),
        precision="fp64",
    )


CASES = (
    _nearest(20_000, 2, ("cpu", "cuda")),
    _nearest(1_000_000, 2, ("cpu", "cuda")),
    _nearest(1_000_000, 64, ("cpu", "cuda")),
    _nearest(6_000_000, 2, ("cuda",)),
    _sums(1_000_000, 2),
    _sums(6_000_000, 2),
)

if __name__ == "__main__":
    sys.exit(main([Path(__file__)]))
