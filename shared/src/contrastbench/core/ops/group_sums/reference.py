"""The specification: one group after the other."""

from __future__ import annotations

import torch
from torch import Tensor


def group_sums(values: Tensor, offsets: Tensor, rows: Tensor | None, weights: Tensor | None) -> Tensor:
    """Return ``[G, D]`` sums; see :func:`contrastbench.core.ops.group_sums.api.group_sums`."""
    out = values.new_zeros((len(offsets), values.shape[1]), dtype=torch.promote_types(values.dtype, torch.float32))
    members = len(values) if rows is None else len(rows)
    ends = [*offsets.tolist()[1:], members]
    for group, (start, end) in enumerate(zip(offsets.tolist(), ends, strict=True)):
        part = values[start:end] if rows is None else values[rows[start:end]]
        part = part.to(out.dtype)
        out[group] = (part if weights is None else part * weights[start:end, None]).sum(0)
    return out
