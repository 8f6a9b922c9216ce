"""The public function: check, choose an implementation, call it.

Shapes: n points, k centres, D their dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.choice import choose, fits, needs_triton

_IMPLEMENTATIONS = {"triton": needs_triton, "screened": fits, "reference": fits}


def _check(points: Tensor, centres: Tensor, c: float | None, chunk: int | None) -> None:
    for name, rows in (("points", points), ("centres", centres)):
        if rows.ndim != 2 or not rows.is_floating_point() or not rows.shape[1]:
            raise InputError(f"{name}: a floating tensor [n, D] was expected, not {rows.dtype} {list(rows.shape)}")
    if points.shape[1] != centres.shape[1]:
        raise InputError(f"points have {points.shape[1]} dimensions and centres {centres.shape[1]}; they must agree")
    if points.device != centres.device:
        raise InputError(f"points are on '{points.device}' and centres on '{centres.device}'; move one of them")
    if not len(centres):
        raise InputError("there is no nearest of no centres; give at least one")
    if c is not None and not 0 < c < math.inf:
        raise InputError(f"c is {c}; minus the curvature of the ball is a positive number, None is Euclidean space")
    if chunk is not None and chunk < 1:
        raise InputError(f"chunk is {chunk}; the points compared together are at least 1")


@torch.no_grad()
def nearest_centre(
    points: Tensor, centres: Tensor, c: float | None = 1.0, *, chunk: int | None = None, impl: str | None = None
) -> tuple[Tensor, Tensor]:
    """Return the nearest centre of each point, and the distance to it. Memory beyond the result is bounded.

    All implementations give the same centre: that of the smallest distance as float64 has it, the first of equal ones.

    Args:
        points: ``[n, D]``, any floating dtype; not copied as a whole. Finite and inside the ball, which is not checked
            here: one that is not has NaN for a distance.
        centres: ``[k, D]``, any floating dtype; the same holds for them.
        c: minus the curvature of the Poincare ball, or None for Euclidean space.
        chunk: points compared together; by default as many as suit the device.
        impl: ``"reference"`` (all distances), ``"screened"`` (a product in float64, and distances where it is close),
            ``"triton"`` (a kernel in float32, and the screened product where that is close), or None for the best that
            fits the tensors.

    Returns:
        ``[n]`` (int64) and ``[n]`` (float64), without gradient.

    Raises:
        InputError: shapes, types or devices that do not fit; an implementation unknown or not for these tensors.
    """
    _check(points, centres, c, chunk)
    module = choose(__package__, impl, _IMPLEMENTATIONS, points, centres)
    index, distances = module.nearest_centre(points, centres.double(), c, chunk)
    return index, distances
