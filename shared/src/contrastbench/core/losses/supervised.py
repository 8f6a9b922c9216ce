"""Supervised InfoNCE against everything: the batch's own embeddings and, beside them, a bank."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.ops.class_infonce import negative_logsumexp, positive_terms


def supervised_infonce(
    anchors: Tensor,
    labels: Tensor,
    batch: Tensor,
    batch_labels: Tensor,
    temperature: float,
    *,
    eligible: Tensor | None = None,
    bank: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor]:
    """Contrast each anchor with all keys: every positive against all negatives, not against other positives.

    Wang et al., ICCV 2021, Eq. 3. Shapes: A anchors, B keys of the batch, D dimensions, C classes.

    Args:
        anchors: ``[A, D]`` (float), of unit length.
        labels: ``[A]`` (int64).
        batch: ``[B, D]`` (float), of unit length; gradients flow into it too.
        batch_labels: ``[B]`` (int64).
        temperature: tau, above 0.
        eligible: ``[A, B]`` (bool), which keys of the batch an anchor may meet (not itself, for one); None
            for all.
        bank: for each class its remembered keys ``[M_c, D]``, without gradient; empty for no bank.

    Returns:
        loss ``[A]`` (float32 at least) and positives of each anchor ``[A]`` (int64); the loss of an anchor
        without positives is 0.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        anchors = anchors if anchors.dtype == torch.float64 else anchors.float()
        similarity = anchors @ batch.to(anchors.dtype).T / temperature
        same = labels[:, None] == batch_labels
        if eligible is None:
            eligible = torch.ones_like(same)
        positive, negative = eligible & same, eligible & ~same

        # A row of -inf has no gradient but nan: leave it its values, then overwrite the result.
        none = ~negative.any(1)
        masked = similarity.masked_fill(~negative & ~none[:, None], -torch.inf)
        log_negatives = masked.logsumexp(1).masked_fill(none, -torch.inf)
        if bank:
            log_bank = negative_logsumexp(anchors, labels, bank, temperature)
            log_negatives = _logaddexp(log_negatives, log_bank)

        terms = (F.softplus(log_negatives[:, None] - similarity) * positive).sum(1)
        count = positive.sum(1)
        if bank:
            terms = terms + positive_terms(anchors, labels, bank, log_negatives, temperature)
            count = count + torch.tensor([len(k) for k in bank], device=count.device)[labels]
        return terms / count.clamp_min(1), count


def _logaddexp(a: Tensor, b: Tensor) -> Tensor:
    """Return torch.logaddexp with gradient 0, not nan, where both are -inf."""
    neither = torch.isneginf(a) & torch.isneginf(b)
    return torch.logaddexp(a.masked_fill(neither, 0), b.masked_fill(neither, 0)).masked_fill(neither, -torch.inf)
