"""The pixel-anchor loss of one layer.

Shapes: N anchors, P positives and M negatives of the global batch, d the size of an embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pixel_anchor_loss(
    anchors: Tensor, positives: Tensor, owner: Tensor, negatives: Tensor, against: Tensor, temperature: float
) -> Tensor:
    """Return each anchor's mean loss over its positives (Sung et al., CVPR 2024, the brackets of Eq. 3, and Eq. 4).

    Every positive competes with the anchor's negatives and with no other positive. With
    ``Z = log sum exp(a . v- / tau)``, one term is ``-log(e^s / (e^s + e^Z)) = softplus(Z - s)``.

    Args:
        anchors: [a-hat], ``[N, d]`` (float).
        positives: [v+], of all anchors, ``[P, d]`` (float).
        owner: ``[P]`` (int64), the place of each positive's anchor.
        negatives: [v-], ``[M, d]`` (float).
        against: ``[N, M]`` (bool), whose negatives they are.
        temperature: [tau], above 0.

    Returns:
        ``[N]`` (float32 at least); 0 for an anchor without positives or without negatives.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        anchors = anchors if anchors.dtype == torch.float64 else anchors.float()
        similarity = anchors @ negatives.to(anchors.dtype).T / temperature
        # A row of -inf has no gradient but nan: leave it its values, then overwrite the result.
        none = ~against.any(1)
        masked = similarity.masked_fill(~against & ~none[:, None], -torch.inf)
        if masked.shape[1]:
            log_negatives = masked.logsumexp(1).masked_fill(none, -torch.inf)
        else:
            log_negatives = anchors.sum(1) * 0 - torch.inf
        similarity = (anchors[owner] * positives.to(anchors.dtype)).sum(1) / temperature
        terms = F.softplus(log_negatives[owner] - similarity)
        counts = torch.bincount(owner, minlength=len(anchors))
        return torch.zeros_like(log_negatives).index_add(0, owner, terms) / counts.clamp_min(1)
