"""The same without the gathered keys in memory, forward or backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.ops.once import once

# Pairs gathered in one go: 2 MB of float32 at 256 dimensions, which stay in the cache until they are summed.
_CHUNK_PAIRS = 1 << 11


class _Pairs(NamedTuple):
    """The pairs of one table, row by row: anchor, column of the index, key within the table."""

    row: Tensor
    column: Tensor
    key: Tensor


def _pairs(index: Tensor, start: int, size: int) -> _Pairs:
    row, column = torch.nonzero((index >= start) & (index < start + size), as_tuple=True)
    return _Pairs(row, column, index[row, column] - start)


def _products(anchors: Tensor, keys: Tensor, pairs: _Pairs) -> Tensor:
    out = anchors.new_empty(len(pairs.row))
    for begin in range(0, len(out), _CHUNK_PAIRS):
        part = slice(begin, begin + _CHUNK_PAIRS)
        # Rows by index_select: on a CPU it is several times faster than indexing, and gives the same.
        gathered = keys.index_select(0, pairs.key[part])
        out[part] = gathered.mul_(anchors.index_select(0, pairs.row[part])).sum(-1)
    return out


def _bag(anchors: int, keys: Tensor, pairs: _Pairs, weight: Tensor) -> Tensor:
    """Return ``[A, D]``, the weighted sum of each anchor's keys; pairs come row by row, so it is one bag a row."""
    per_anchor = torch.bincount(pairs.row, minlength=anchors)
    return F.embedding_bag(pairs.key, keys, per_anchor.cumsum(0) - per_anchor, mode="sum", per_sample_weights=weight)


def _scatter(anchors: Tensor, keys: Tensor, pairs: _Pairs, weight: Tensor) -> Tensor:
    """Return ``[M, D]``, the weighted sum of each key's anchors."""
    out = torch.zeros_like(keys)
    for begin in range(0, len(weight), _CHUNK_PAIRS):
        part = slice(begin, begin + _CHUNK_PAIRS)
        gathered = anchors.index_select(0, pairs.row[part])
        out.index_add_(0, pairs.key[part], gathered.mul_(weight[part, None]))
    return out


class _SampledInfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float, *keys: Tensor
    ) -> Tensor:
        index = torch.cat([positives, negatives], 1)
        similarity = anchors.new_full(index.shape, -torch.inf)
        pairs, start = [], 0
        for table in keys:
            pairs.append(_pairs(index, start, len(table)))
            similarity[pairs[-1].row, pairs[-1].column] = _products(anchors, table, pairs[-1]) / temperature
            start += len(table)

        split = positives.shape[1]
        there = positives >= 0
        share = there / there.sum(1, keepdim=True).clamp_min(1).to(anchors)
        log_negatives = similarity[:, split:].logsumexp(1, keepdim=True)
        # Where there is no positive, the similarity is -inf and so may the other side be: keep inf - inf out.
        margin = (log_negatives - similarity[:, :split]).masked_fill(~there, 0)
        loss = (F.softplus(margin) * share).sum(1)

        pull = margin.sigmoid() * share
        finite = log_negatives.masked_fill(torch.isneginf(log_negatives), 0)
        push = (similarity[:, split:] - finite).exp() * pull.sum(1, keepdim=True)
        slope = torch.cat([-pull, push], 1) / temperature

        frozen = torch.zeros_like(anchors)
        learning: list[Tensor] = []
        for i, table in enumerate(keys):
            weight = slope[pairs[i].row, pairs[i].column]
            if ctx.needs_input_grad[4 + i]:
                learning += [table, *pairs[i], weight]
            else:
                frozen += _bag(len(anchors), table, pairs[i], weight)
        ctx.save_for_backward(loss, anchors, frozen, *learning)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        loss, anchors, frozen, *learning = ctx.saved_tensors
        grad = once(grads[0], loss)
        grad_anchors = grad[:, None] * frozen
        grad_keys: list[Tensor | None] = []
        for needs in ctx.needs_input_grad[4:]:
            if not needs:
                grad_keys.append(None)
                continue
            table, row, column, key, weight = learning[:5]
            learning = learning[5:]
            pairs = _Pairs(row, column, key)
            weight = weight * grad[row]
            grad_anchors = grad_anchors + _bag(len(anchors), table, pairs, weight)
            grad_keys.append(_scatter(anchors, table, pairs, weight))
        return grad_anchors, None, None, None, *grad_keys


def sampled_infonce(
    anchors: Tensor, keys: Sequence[Tensor], positives: Tensor, negatives: Tensor, temperature: float
) -> Tensor:
    """See :func:`contrastbench.core.ops.sampled_infonce.api.sampled_infonce`."""
    tables = [table.to(anchors.dtype) for table in keys]
    loss: Tensor = _SampledInfoNCE.apply(anchors, positives, negatives, temperature, *tables)
    return loss
