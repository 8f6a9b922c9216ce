"""For implementations that know planes and no border: a frame of pixels outside around each."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def by_plane(masks: Tensor, border_is_edge: bool, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply ``transform`` (``[n, H, W]`` bool to ``[n, H, W]`` float32) to masks ``[B, C, H, W]`` (bool)."""
    planes = masks.flatten(0, 1)
    if not border_is_edge:
        return transform(planes).reshape(masks.shape)
    return transform(F.pad(planes, (1, 1, 1, 1)))[:, 1:-1, 1:-1].reshape(masks.shape)
