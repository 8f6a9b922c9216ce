"""Boundary-aware negatives (BANE): error maps, distances to their edges, and the pixels nearest to an edge.

Shapes: B images of h x w pixels, labels and predictions at the layer's own resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.ops.distance_transform import distance_transform
from contrastbench.core.samplers import first_per_group


def error_map(classes: Tensor, predictions: Tensor) -> Tensor:
    """Return the class-wise error maps of all classes in one (Sung et al., CVPR 2024, Eq. 6).

    Pixel (u, v) of the binary map [B^n] is one where the truth is n and the prediction is not. A pixel has one
    truth, so the maps do not overlap: pixel (u, v) of [B^n] is one where the map returned here is n.

    Args:
        classes: ``[B, h, w]`` (int64), the truth; negative where a pixel counts for nothing.
        predictions: ``[B, h, w]`` (int64).

    Returns:
        ``[B, h, w]`` (int64), the class of the map that a pixel is an error in, or -1.
    """
    return torch.where(predictions == classes, -1, classes)


def distance_map(errors: Tensor) -> Tensor:
    """Return each erroneous pixel's distance to the edge of its class's error region (Eq. 7).

    The distance is to the nearest pixel outside the class-wise error map, so the outermost pixels of a region have
    the least, 1. The border of the image is no edge, as the region may go on beyond it.

    Args:
        errors: ``[B, h, w]`` (int64), from :func:`error_map`.

    Returns:
        ``[B, h, w]`` (float32), in pixels of the layer; 0 where there is no error, infinite where one error region
        fills its image.
    """
    distances = torch.zeros(errors.shape, device=errors.device)
    image, row, column = torch.nonzero(errors >= 0, as_tuple=True)
    if not len(image):
        return distances
    count = int(errors.max()) + 1
    maps, own = (image * count + errors[image, row, column]).unique(return_inverse=True)
    # Only the maps that have an error, and of each pixel the distance in its own.
    planes = errors[maps // count] == (maps % count)[:, None, None]
    distances[image, row, column] = distance_transform(planes[None])[0][own, row, column]
    return distances


def nearest_to_edge(errors: Tensor, distances: Tensor, draws: Tensor, percent: float) -> Tensor:
    """Choose the [K] per cent of each class-wise error map with the smallest values (section 3.3).

    Args:
        errors: ``[B, h, w]`` (int64), from :func:`error_map`.
        distances: ``[B, h, w]`` (float), from :func:`distance_map`; all alike for a random K per cent.
        draws: ``[B, h, w]`` (float), uniform draws; they break ties.
        percent: [K], from 0 to 100, of the pixels of each image and class; rounded up to whole pixels, so that no
            map is left out except at 0.

    Returns:
        ``[B, h, w]`` (bool).
    """
    count = max(int(errors.max()), 0) + 1 if errors.numel() else 1
    image = torch.arange(len(errors), device=errors.device)[:, None, None]
    groups = torch.where(errors >= 0, image * count + errors, -1).flatten()
    sizes = torch.bincount(groups[groups >= 0], minlength=1)
    wanted = (sizes.double() * percent / 100).ceil().long()
    # By distance and, where that is the same, by draw.
    order = torch.argsort(draws.flatten(), stable=True)
    order = order[torch.argsort(distances.flatten()[order], stable=True)]
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    chosen = torch.zeros_like(groups, dtype=torch.bool)
    chosen[first_per_group(groups, place, wanted)] = True
    return chosen.view(errors.shape)
