"""What crosses ranks. On one process every function here is the identity."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Return the number of ranks, 1 where torch.distributed is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's rank, 0 where torch.distributed is not in use."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def all_sum(value: Tensor) -> Tensor:
    """Return the sum of ``value`` over the ranks, without gradient."""
    total = value.detach().clone()
    if world_size() > 1:
        dist.all_reduce(total)
    return total


def row_counts(rows: Tensor) -> list[int]:
    """Return how many rows each rank holds of a tensor that may differ between ranks in its first size."""
    if world_size() == 1:
        return [rows.shape[0]]
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([rows.shape[0]], device=rows.device))
    return [int(c) for c in counts]


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        # all_gather wants one size everywhere: pad to the longest, then cut.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: rows.shape[0]] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # Every rank used these rows, so their gradient is the sum over ranks of its slice. Summed in a copy: what
        # arrives may be the gradient of something else too.
        grad = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        start = sum(ctx.counts[: rank()])
        return grad[start : start + ctx.counts[rank()]], None


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows of all ranks in the order of the ranks; gradients flow back to their owners.

    Args:
        rows: ``[n, ...]``; ``n`` may differ between ranks and may be 0.

    Returns:
        ``[sum of n, ...]``, the same on every rank.
    """
    if world_size() == 1:
        return rows
    counts = row_counts(rows)
    if max(counts) == 0:
        return rows
    gathered: Tensor = _GatherRows.apply(rows.contiguous(), counts)
    return gathered
