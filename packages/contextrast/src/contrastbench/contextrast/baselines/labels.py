"""Labels at the stride of a feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def classes_at(labels: Tensor, size: Sequence[int], num_classes: int, ignore_index: int) -> Tensor:
    """Return the class of the nearest pixel, ``[B, h, w]`` (int64), -1 where it counts for nothing.

    Args:
        labels: ``[B, H, W]`` (int64), with the ignore index.
        size: h and w.
        num_classes: C.
        ignore_index: label of void.
    """
    near = F.interpolate(labels[:, None].float(), size=tuple(size), mode="nearest")[:, 0].long()
    return torch.where((near == ignore_index) | (near < 0) | (near >= num_classes), -1, near)
