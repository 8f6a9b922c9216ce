"""What points must be before anything is computed with them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from contrastbench.core.errors import InputError

_ROWS = 2**16


def check_points(points: Tensor, name: str, c: float | None = None) -> None:
    """Check points ``[n, D]``: floating, finite, inside the ball of curvature -c where there is one.

    Args:
        points: what is checked.
        name: what the caller calls it ("points", "anchors").
        c: minus the curvature of the ball; ``None`` for Euclidean space.

    Raises:
        InputError: naming the first row that is wrong, and how many are.
    """
    if not isinstance(points, Tensor) or points.ndim != 2 or not points.is_floating_point() or not points.shape[1]:
        shown = f"{points.dtype} {tuple(points.shape)}" if isinstance(points, Tensor) else type(points).__name__
        raise InputError(f"{name}: a floating tensor of shape [n, D] was expected, not {shown}")
    # block by block: of all points at once, each step would be a copy of them
    finite = torch.cat([block.isfinite().all(1) for block in points.split(_ROWS)])
    _first(~finite, name, "not finite; look for NaN in what computed the embeddings", points)
    if c is None:
        return
    if not 0 < c < math.inf:
        raise InputError(f"c is {c}; minus the curvature of the ball is a positive number")
    norms = torch.cat([torch.linalg.vector_norm(b, dim=1, dtype=torch.float64) for b in points.split(_ROWS)])
    outside = norms * math.sqrt(c) >= 1
    hint = f"outside the ball of radius {1 / math.sqrt(c):.6g}; embed with expmap0, or pull in with clip_to_ball"
    _first(outside, name, hint, points)


def _first(wrong: Tensor, name: str, what: str, points: Tensor) -> None:
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        norm = float(torch.linalg.vector_norm(points[row], dtype=torch.float64))
        raise InputError(f"{name}: row {row} (norm {norm:.9g}) is {what}; {int(wrong.sum())} of {len(wrong)} rows")
