"""The same values and gradients in memory that does not grow with the number of keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.ops.once import once

# Similarities looked at in one go: 1 Mi floats (4 MB) stay in a core's cache or fill a GPU.
_CHUNK_ELEMENTS = 1 << 20


def _chunks(keys: Tensor, anchors: int) -> Iterator[Tensor]:
    if len(keys):  # split gives one empty part of an empty tensor
        yield from keys.split(max(256, _CHUNK_ELEMENTS // max(anchors, 1)))


def _class_ranges(labels: Tensor, num_classes: int) -> list[tuple[int, int]]:
    """Return where each class's anchors begin and end, the labels being sorted."""
    ends = torch.bincount(labels, minlength=num_classes).cumsum(0).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


class _NegativeLogSumExp(torch.autograd.Function):
    """Online log-sum-exp; the gradient is formed on the way. Labels are sorted."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, labels: Tensor, temperature: float, *keys: Tensor) -> Tensor:
        scaled = anchors / temperature
        # Finite, so that exp(-inf - peak) is 0 and not nan for a row with no negative yet.
        peak = anchors.new_full((len(anchors), 1), torch.finfo(anchors.dtype).min)
        total = torch.zeros_like(peak)
        mean = torch.zeros_like(anchors)
        for block, (start, end) in zip(keys, _class_ranges(labels, len(keys)), strict=True):
            if end - start == len(anchors):
                continue
            for chunk in _chunks(block, len(anchors)):
                chunk = chunk.to(anchors)
                similarity = scaled @ chunk.T
                similarity[start:end] = -torch.inf
                higher = torch.maximum(peak, similarity.amax(1, keepdim=True))
                rescale = (peak - higher).exp_()
                weight = similarity.sub_(higher).exp_()
                total.mul_(rescale).add_(weight.sum(1, keepdim=True))
                mean.mul_(rescale).addmm_(weight, chunk)
                peak = higher
        none = total == 0
        value = (peak + total.log()).masked_fill(none, -torch.inf).squeeze(1)
        ctx.save_for_backward(mean.div_(total.masked_fill(none, 1) * temperature), value)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        mean, value = ctx.saved_tensors
        grad_anchors = once(grads[0], value)[:, None] * mean
        return grad_anchors, *[None] * (len(ctx.needs_input_grad) - 1)


class _PositiveTerms(torch.autograd.Function):
    """Sum of softplus over each anchor's own class; the gradients are formed on the way. Labels are sorted."""

    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, log_negatives: Tensor, labels: Tensor, temperature: float, *keys: Tensor
    ) -> Tensor:
        scaled = anchors / temperature
        total = torch.zeros_like(log_negatives)
        grad_log = torch.zeros_like(log_negatives)
        grad_anchors = torch.zeros_like(anchors)
        for block, (start, end) in zip(keys, _class_ranges(labels, len(keys)), strict=True):
            if start == end:
                continue
            for chunk in _chunks(block, end - start):
                chunk = chunk.to(anchors)
                margin = log_negatives[start:end, None] - scaled[start:end] @ chunk.T
                total[start:end] += F.softplus(margin).sum(1)
                slope = margin.sigmoid_()
                grad_log[start:end] += slope.sum(1)
                grad_anchors[start:end].addmm_(slope, chunk, alpha=-1 / temperature)
        ctx.save_for_backward(grad_anchors, grad_log, total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        grad_anchors, grad_log, total = ctx.saved_tensors
        grad = once(grads[0], total)
        return grad[:, None] * grad_anchors, grad * grad_log, *[None] * (len(ctx.needs_input_grad) - 2)


def negative_logsumexp(anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float) -> Tensor:
    """See :func:`contrastbench.core.ops.class_infonce.api.negative_logsumexp`."""
    order = torch.argsort(labels, stable=True)
    value = _NegativeLogSumExp.apply(anchors[order], labels[order], temperature, *keys)
    return torch.empty_like(value).index_copy(0, order, value)


def positive_terms(
    anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], log_negatives: Tensor, temperature: float
) -> Tensor:
    """See :func:`contrastbench.core.ops.class_infonce.api.positive_terms`."""
    order = torch.argsort(labels, stable=True)
    value = _PositiveTerms.apply(anchors[order], log_negatives[order], labels[order], temperature, *keys)
    return torch.empty_like(value).index_copy(0, order, value)
