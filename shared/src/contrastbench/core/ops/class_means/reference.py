"""The specification: products with a one-hot matrix."""

from __future__ import annotations

import torch
from torch import Tensor


def class_sums(embeddings: Tensor, labels: Tensor, num_classes: int, channels_first: bool) -> tuple[Tensor, Tensor]:
    """Return sums and counts of ``[B, n, D]``, ``[B, D, n]`` with ``channels_first``, or ``[n, D]``.

    See :func:`contrastbench.core.ops.class_means.api.class_sums`.
    """
    rows = embeddings.transpose(1, 2) if channels_first else embeddings
    if rows.dtype != torch.float64:
        rows = rows.float()
    classes = torch.arange(num_classes, device=labels.device)
    # A product and not an indexed sum, which on a GPU adds many rows to few, and in any order.
    if rows.ndim == 2:
        member = labels == classes[:, None]
        return member.to(rows) @ rows, member.sum(1)
    member = (labels[..., None] == classes).transpose(1, 2)
    return member.to(rows) @ rows, member.sum(2)
