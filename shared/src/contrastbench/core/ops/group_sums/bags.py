"""torch's embedding bag: what it calls a weighted sum of rows by their numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def group_sums(values: Tensor, offsets: Tensor, rows: Tensor | None, weights: Tensor | None) -> Tensor:
    """Return ``[G, D]`` sums; see :func:`contrastbench.core.ops.group_sums.api.group_sums`."""
    # nothing of the size of values is copied, of float32 and float64, and the order of summation is fixed
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    rows = torch.arange(len(values), device=values.device) if rows is None else rows
    return F.embedding_bag(rows, values, offsets, mode="sum", per_sample_weights=weights)
