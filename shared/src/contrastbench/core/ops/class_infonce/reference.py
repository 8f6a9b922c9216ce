"""The specification: all similarities at once, plain autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def _similarities(anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float) -> tuple[Tensor, Tensor]:
    everything = torch.cat([k.to(anchors) for k in keys])
    key_labels = torch.cat([torch.full((len(k),), c, device=labels.device) for c, k in enumerate(keys)])
    return anchors @ everything.T / temperature, labels[:, None] == key_labels


def negative_logsumexp(anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float) -> Tensor:
    """See :func:`contrastbench.core.ops.class_infonce.api.negative_logsumexp`."""
    similarity, positive = _similarities(anchors, labels, keys, temperature)
    alone = positive.all(1)
    # A row of -inf has no gradient but nan: give it zeros, then overwrite the value.
    masked = similarity.masked_fill(positive & ~alone[:, None], -torch.inf)
    if masked.shape[1] == 0:
        return anchors.sum(1) * 0 - torch.inf
    return masked.logsumexp(1).masked_fill(alone, -torch.inf)


def positive_terms(
    anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], log_negatives: Tensor, temperature: float
) -> Tensor:
    """See :func:`contrastbench.core.ops.class_infonce.api.positive_terms`."""
    similarity, positive = _similarities(anchors, labels, keys, temperature)
    return (F.softplus(log_negatives[:, None] - similarity) * positive).sum(1)
