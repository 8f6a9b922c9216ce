"""Labels and predictions at the resolution of a feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def at_size(classes: Tensor, size: Sequence[int]) -> Tensor:
    """Bring maps of classes to another size by the nearest pixel, ``[B, h, w]`` (int64).

    Args:
        classes: ``[B, H, W]`` (int64).
        size: h and w.
    """
    return F.interpolate(classes[:, None].float(), size=tuple(size), mode="nearest")[:, 0].long()


def classes_at(labels: Tensor, size: Sequence[int], num_classes: int, ignore_index: int) -> Tensor:
    """Return the class of the nearest pixel, ``[B, h, w]`` (int64), -1 where it counts for nothing.

    Args:
        labels: ``[B, H, W]`` (int64), with the ignore index.
        size: h and w.
        num_classes: C.
        ignore_index: label of void.
    """
    near = at_size(labels, size)
    return torch.where((near == ignore_index) | (near < 0) | (near >= num_classes), -1, near)
