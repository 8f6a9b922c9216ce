"""The specification: the distance to every pixel, and the least of them."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.ops.distance_transform.border import by_plane


def _nearest(cost: Tensor) -> Tensor:
    """Return, along the last dimension, the least of cost at j plus (i - j) squared, for every i."""
    place = torch.arange(cost.shape[-1], device=cost.device, dtype=cost.dtype)
    return (cost[..., None, :] + (place[:, None] - place).square()).amin(-1)


def _transform(planes: Tensor) -> Tensor:
    """Return ``[n, H, W]`` (float32) for planes ``[n, H, W]`` (bool)."""
    distances = torch.zeros(planes.shape, device=planes.device)
    if not planes.numel():
        return distances
    for plane, out in zip(planes, distances, strict=True):
        # Squared distances are whole numbers, which float64 holds exactly. A square is a sum over both directions, so
        # the least over all pixels is the least over columns of the least within each.
        outside = torch.zeros(plane.shape, device=plane.device, dtype=torch.float64).masked_fill(plane, torch.inf)
        out.copy_(_nearest(_nearest(outside.T).T).sqrt())
    return distances


def distance_transform(masks: Tensor, border_is_edge: bool) -> Tensor:
    """See :func:`contrastbench.core.ops.distance_transform.api.distance_transform`."""
    return by_plane(masks, border_is_edge, _transform)
