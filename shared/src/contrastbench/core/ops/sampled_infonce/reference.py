"""The specification: gather the keys, plain autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def sampled_infonce(
    anchors: Tensor, keys: Sequence[Tensor], positives: Tensor, negatives: Tensor, temperature: float
) -> Tensor:
    """See :func:`contrastbench.core.ops.sampled_infonce.api.sampled_infonce`."""
    everything = torch.cat([k.to(anchors) for k in keys])
    if len(everything) == 0:
        return anchors.sum(1) * 0

    def similarity(index: Tensor) -> Tensor:
        return (anchors[:, None] * everything[index.clamp_min(0)]).sum(-1) / temperature

    none = (negatives < 0).all(1)
    # A row of -inf has no gradient but nan: leave it its values, then overwrite the result.
    masked = similarity(negatives).masked_fill((negatives < 0) & ~none[:, None], -torch.inf)
    log_negatives = masked.logsumexp(1).masked_fill(none, -torch.inf) if masked.shape[1] else None
    if log_negatives is None:
        return anchors.sum(1) * 0
    terms = F.softplus(log_negatives[:, None] - similarity(positives)) * (positives >= 0)
    return terms.sum(1) / (positives >= 0).sum(1).clamp_min(1)
