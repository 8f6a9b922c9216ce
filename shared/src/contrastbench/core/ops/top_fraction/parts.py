"""How many keys the part of a fraction holds."""

from __future__ import annotations

import torch
from torch import Tensor


def part_size(count: Tensor, fraction: float) -> Tensor:
    """Return how many of ``count`` keys (int) are within the fraction, rounded up (int64)."""
    # float64, or 0.1 of 10 would round up to 2
    return torch.ceil(count.double() * fraction - 1e-9).long()
