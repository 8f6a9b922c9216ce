"""Classes in few bits, for kernels that read them again with every similarity."""

from __future__ import annotations

import torch
from torch import Tensor


def class_codes(labels: Tensor, key_labels: Tensor) -> tuple[Tensor, Tensor]:
    """Number the classes of anchors and keys anew, from what anchors there are.

    Args:
        labels: ``[A]`` (int64), any numbers; A above 0.
        key_labels: ``[M]`` (int64), negative for none.

    Returns:
        Codes of the anchors ``[A]``, at or above 0, and of the keys ``[M]``: A for a class without an anchor, -1 for
        none. Both int16, or int32 where there are too many anchors.
    """
    labels = labels.contiguous()
    known = labels.sort().values
    code = torch.searchsorted(known, key_labels)
    missing = known[code.clamp_max(len(known) - 1)] != key_labels
    code = code.masked_fill(missing, len(known)).masked_fill(key_labels < 0, -1)
    dtype = torch.int16 if len(known) < 1 << 15 else torch.int32
    return torch.searchsorted(known, labels).to(dtype), code.to(dtype)
