"""OpenCV's exact transform, on the part of each plane where its mask lies."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from contrastbench.core.ops.distance_transform.border import by_plane


def _extent(occupied: np.ndarray, size: int) -> slice:
    """Return where a mask lies along one direction, and one pixel more on both sides."""
    places = np.flatnonzero(occupied)
    return slice(max(int(places[0]) - 1, 0), min(int(places[-1]) + 2, size))


def _transform(planes: Tensor) -> Tensor:
    """Return ``[n, H, W]`` (float32) for planes ``[n, H, W]`` (bool), computed on the CPU."""
    import cv2  # an optional dependency, and half a second of import

    masks = planes.cpu().numpy().view(np.uint8)
    distances = np.zeros(masks.shape, np.float32)
    for i in np.flatnonzero(masks.any((1, 2))):
        # The pixel outside that is nearest to one inside lies in the mask's box or right beside it: what lies further
        # away has a nearer one between.
        part = i, _extent(masks[i].any(1), masks.shape[1]), _extent(masks[i].any(0), masks.shape[2])
        # OpenCV gives a large number where there is no outside at all.
        distances[part] = (
            np.inf if masks[part].all() else cv2.distanceTransform(masks[part], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        )
    return torch.from_numpy(distances).to(planes.device)


def distance_transform(masks: Tensor, border_is_edge: bool) -> Tensor:
    """See :func:`contrastbench.core.ops.distance_transform.api.distance_transform`."""
    return by_plane(masks, border_is_edge, _transform)
