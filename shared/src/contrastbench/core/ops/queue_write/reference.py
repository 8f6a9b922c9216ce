"""The specification: each key's place among those of its class gives its slot."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.samplers.first_per_group import rank_in_group


def queue_write(rings: Tensor, pointer: Tensor, count: Tensor, keys: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`contrastbench.core.ops.queue_write.api.queue_write`."""
    num_classes, length, _ = rings.shape
    known = (classes >= 0) & (classes < num_classes)
    keys, classes = keys[known], classes[known]
    arrived = torch.bincount(classes, minlength=num_classes)
    place = rank_in_group(classes)
    slot = (pointer[classes] + place) % length
    # Of more than a ring's worth only the last ones stay; no slot is written twice in one call.
    last = place >= arrived[classes] - length
    rings[classes[last], slot[last]] = keys[last].to(rings)
    return (pointer + arrived) % length, (count + arrived).clamp_max(length)
