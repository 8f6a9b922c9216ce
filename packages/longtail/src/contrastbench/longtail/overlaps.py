"""How much of each proposal of an image every other one covers.

All that triplets are drawn from are the intersections of pairs of masks, in pixels: the areas are on the diagonal, and
IoU and containment follow from both. An image's proposals stay the same all through training, so a caller may keep
their intersections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrastbench.core.errors import InputError

_AT_ONCE = 1 << 16
"""Pixels of a product: small enough for a cache, and for float32 to count exactly (up to 2^24)."""


def mask_intersections(masks: Tensor) -> Tensor:
    """Return the pixels that each two masks have in common.

    Args:
        masks: ``[n, H, W]`` (bool).

    Returns:
        ``[n, n]`` (int64) on the device of the masks, exact.

    Raises:
        InputError: the masks are not bool, or no stack.
    """
    if masks.dtype != torch.bool or masks.dim() != 3:
        raise InputError(f"the masks are {masks.dtype} {list(masks.shape)}; expected torch.bool [n, H, W]")
    total = torch.zeros(len(masks), len(masks), dtype=torch.int64, device=masks.device)
    with torch.autocast(masks.device.type, enabled=False):
        for part in masks.flatten(1).split(_AT_ONCE, 1):
            pixels = part.float()
            total += (pixels @ pixels.T).round().long()
    return total


def rle_intersections(rles: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return what :func:`mask_intersections` does, from run lengths, without decoding a mask. Needs pycocotools.

    Args:
        rles: n masks of one image, compressed run lengths as of :func:`contrastbench.core.data.coco.encode`.

    Returns:
        ``[n, n]`` (int64), exact.
    """
    if not rles:
        return torch.zeros(0, 0, dtype=torch.int64)
    from pycocotools import mask

    compressed = [{"size": rle["size"], "counts": _bytes(rle["counts"])} for rle in rles]
    area = mask.area(compressed).astype(np.int64)
    # The API divides the pixels in common with a crowd by the pixels of the first mask alone. Both are whole numbers
    # far below 2^53, so that multiplying and rounding gives the first back.
    share = mask.iou(compressed, compressed, [1] * len(compressed))
    return torch.from_numpy(np.rint(share * area[:, None]).astype(np.int64))


def intersection_over_union(intersections: Tensor) -> Tensor:
    """Return the mask IoU ``[n, n]`` (float64) of each two proposals; 0 where both are empty.

    Args:
        intersections: ``[n, n]`` (int64), pixels in common.
    """
    area = intersections.diagonal()
    union = area[:, None] + area - intersections
    return intersections.double() / union.clamp_min(1)


def containment(intersections: Tensor) -> Tensor:
    """Return which share of the second lies within the first ``[n, n]`` (float64); 0 where the second is empty.

    Args:
        intersections: ``[n, n]`` (int64), pixels in common.
    """
    return intersections.double() / intersections.diagonal().clamp_min(1)


def children(intersections: Tensor, inside: float, area_ratio: float) -> Tensor:
    """Return whether the second is a child of the first, ``[n, n]`` (bool); an empty proposal is nobody's.

    "Falls into the area of the anchor mask but is significantly smaller in size" (Weng et al., CVPR 2021, section 3.2).

    Args:
        intersections: ``[n, n]`` (int64), pixels in common.
        inside: share of a child within its parent, at least.
        area_ratio: area of a child over that of its parent, at most. A child is always smaller, also with 1.
    """
    area = intersections.diagonal()
    smaller = (area <= area_ratio * area[:, None]) & (area < area[:, None])
    return (containment(intersections) >= inside) & smaller & (area > 0)


def _bytes(counts: str | bytes) -> bytes:
    return counts.encode("ascii") if isinstance(counts, str) else counts
