"""The specification: every similarity, a stable sort, and the largest priorities within the part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.ops.top_fraction.parts import part_size
from contrastbench.core.ops.top_fraction.priorities import priorities

if TYPE_CHECKING:
    from contrastbench.core.ops.top_fraction.api import Draw


def top_fraction(
    anchors: Tensor,
    labels: Tensor,
    keys: Sequence[Tensor],
    key_labels: Sequence[Tensor],
    draws: Sequence[Draw],
    words: Tensor,
    fraction: float,
    eligible: Tensor | None,
) -> Tensor:
    """See :func:`contrastbench.core.ops.top_fraction.api.top_fraction`; ``words`` ``[A, S, 2]`` stand for the seeds.

    Returns:
        ``[A, sum of counts]``, the draws side by side.
    """
    dtype = torch.float64 if anchors.dtype == torch.float64 else torch.float32
    similarity = anchors.to(dtype) @ torch.cat([k.to(dtype) for k in keys]).T
    label = torch.cat(list(key_labels))
    columns = torch.arange(len(label), device=anchors.device)
    held = (label >= 0).expand_as(similarity)
    if eligible is not None:
        held = held & F.pad(eligible, (0, len(label) - eligible.shape[1]), value=True)
    same = labels[:, None] == label
    chosen = []
    for s, draw in enumerate(draws):
        allowed = held & (same if draw.own else ~same)
        hardness = (-similarity if draw.farthest else similarity).masked_fill(~allowed, -torch.inf)
        order = hardness.argsort(dim=1, descending=True, stable=True)
        rank = torch.empty_like(order).scatter_(1, order, columns.expand_as(order))
        within = rank < part_size(allowed.sum(1), fraction)[:, None]
        draw_order = priorities(words[:, s], columns).masked_fill(~within, -1)
        top = draw_order.topk(min(draw.k, len(label)), dim=1)
        index = top.indices.masked_fill(top.values < 0, len(label)).sort(dim=1).values
        index = index.masked_fill(index == len(label), -1)
        chosen.append(F.pad(index, (0, draw.k - index.shape[1]), value=-1))
    return torch.cat(chosen, 1)
