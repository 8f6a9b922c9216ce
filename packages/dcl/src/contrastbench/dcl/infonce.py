"""The dense contrastive loss of sampled pixels, one number a RoI."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def dense_infonce(anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Return the mean InfoNCE over all pairs of an anchor and a positive, for each RoI.

    Chen et al., BMVC 2022, Eq. 3 with the cosine similarity of Eq. 5, and the mean over pairs for the sum. A positive
    competes with the negatives of the same RoI, not with other positives. The logarithm of the denominator goes over
    the positive and all negatives, so that no negative can overflow, however much nearer than the positives it is.

    Args:
        anchors: [F_u] ``[n, A, D]`` (float), of any length. A pixel that is zero in all of D has no direction: it is
            similar to nothing, and has no gradient.
        positives: [F_v] ``[n, P, D]``.
        negatives: [F_w] ``[n, M, D]``.
        temperature: [tau], above 0.

    Returns:
        ``[n]`` (float32 at least, also under autocast).
    """
    with torch.autocast(anchors.device.type, enabled=False):
        anchors, positives, negatives = (
            x if x.dtype.itemsize >= 4 else x.float() for x in (anchors, positives, negatives)
        )
        # Products are brought to unit length after they are taken: there are K numbers of them for D of a pixel.
        scale = _inverse_length(anchors) / temperature
        positive = anchors @ positives.mT * scale * _inverse_length(positives).mT
        negative = anchors @ negatives.mT * scale * _inverse_length(negatives).mT
        # -log(e^p / (e^p + sum e^n)); beyond the threshold log1p(exp(x)) is x to the last bit of a float64.
        terms = F.softplus(negative.logsumexp(-1, keepdim=True) - positive, threshold=40)
        return terms.mean((-2, -1))


def _inverse_length(x: Tensor) -> Tensor:
    """Return 1 / |x| over the last dimension, kept as 1; 0 with gradient 0 where x is zero."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length.masked_fill(length == 0, torch.inf).reciprocal()
