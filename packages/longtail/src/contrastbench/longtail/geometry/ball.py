"""Distance and maps of the Poincare ball of curvature -c, written so that nothing cancels.

Everything is computed in float64, whatever the precision of what comes in: near the boundary the distance grows by 1
where the remaining ``1 - sqrt(c) |x|`` shrinks by a factor of e, and float32 runs out of numbers at a distance of 17
from the origin (geoopt stops it at 6.2). Gradients flow back in the precision of the input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from contrastbench.core.ops.nearest_centre import ball_distance

MARGIN = 1e-5
"""How far from the boundary ``expmap0`` keeps points, as a share of the radius: that of geoopt in float64, which
lets points lie 12.2 from the origin (c = 1)."""

_TINY = 1e-15  # a norm below which a map is the identity to float64


def _squared(x: Tensor) -> Tensor:
    return x.square().sum(-1, keepdim=True)


def clip_to_ball(x: Tensor, c: float = 1.0, margin: float = MARGIN) -> Tensor:
    """Return the points with those too close to the boundary, or outside, pulled back along their radius.

    Args:
        x: ``[..., D]``, any floating dtype.
        c: minus the curvature.
        margin: the share of the radius that is kept free.

    Returns:
        ``[..., D]`` (float64). The gradient along the radius of a point pulled back is zero.
    """
    x = x.double()
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    limit = (1 - margin) / math.sqrt(c)
    return torch.where(norm > limit, x * (limit / norm.clamp_min(_TINY)), x)


distance = ball_distance
"""The paper's [d], Eq. 2, which the core has for its ops."""


def expmap0(v: Tensor, c: float = 1.0, margin: float = MARGIN) -> Tensor:
    """Return the exponential map at the origin: where the geodesic along ``v`` is after time 1, at a distance 2|v|.

    Args:
        v: ``[..., D]`` tangent vectors, any floating dtype.
        c: minus the curvature.
        margin: as of ``clip_to_ball``.

    Returns:
        ``[..., D]`` (float64) points inside the ball.
    """
    v = v.double()
    norm = (math.sqrt(c) * torch.linalg.vector_norm(v, dim=-1, keepdim=True)).clamp_min(_TINY)
    return clip_to_ball(v * (norm.tanh() / norm), c, margin)


def logmap0(x: Tensor, c: float = 1.0) -> Tensor:
    """Return the logarithmic map at the origin, the inverse of ``expmap0``.

    Args:
        x: ``[..., D]``, any floating dtype, inside the ball.
        c: minus the curvature.

    Returns:
        ``[..., D]`` (float64) tangent vectors.
    """
    x = x.double()
    norm = (math.sqrt(c) * torch.linalg.vector_norm(x, dim=-1, keepdim=True)).clamp_min(_TINY)
    return x * (norm.atanh() / norm)


def mobius_add(x: Tensor, y: Tensor, c: float = 1.0) -> Tensor:
    """Return the Mobius sum, the translation of the ball that takes the origin to ``x``, applied to ``y``.

    The usual formula (Ganea et al., NeurIPS 2018, Eq. 4) with ``s = x + y`` in its sums, so that they do not cancel
    for ``y`` close to ``-x`` near the boundary.

    Args:
        x: ``[..., D]``, any floating dtype, inside the ball.
        y: ``[..., D]``, broadcast against ``x``.
        c: minus the curvature.

    Returns:
        ``[..., D]`` (float64).
    """
    x, y = x.double(), y.double()
    s = x + y
    room, stretch = 1 - c * _squared(x), c * _squared(s)
    return (room * s + stretch * x) / (stretch + room * (1 - c * _squared(y)))


def geodesic(x: Tensor, y: Tensor, t: Tensor | float, c: float = 1.0) -> Tensor:
    """Return the point at the share ``t`` of the way from ``x`` to ``y`` along their geodesic.

    Args:
        x: ``[..., D]``, any floating dtype, inside the ball.
        y: ``[..., D]``, broadcast against ``x``.
        t: a number, or ``[..., 1]``; 0 gives ``x``, 1 gives ``y``.
        c: minus the curvature.

    Returns:
        ``[..., D]`` (float64).
    """
    return mobius_add(x, expmap0(t * logmap0(mobius_add(-x, y, c), c), c, margin=0.0), c)
