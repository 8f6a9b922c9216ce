"""The specification: each key's place among those of its class gives its slot."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.samplers.first_per_group import rank_in_group


def queue_write(rings: Tensor, pointer: Tensor, count: Tensor, keys: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`contrastbench.core.ops.queue_write.api.queue_write`."""
    num_classes, length, dim = rings.shape
    known = (classes >= 0) & (classes < num_classes)
    keys, classes = _only(known, keys, classes)
    arrived = torch.bincount(classes, minlength=num_classes)
    place = rank_in_group(classes)
    slot = classes * length + (pointer[classes] + place) % length
    # Of more than a ring's worth only the last ones stay; no slot is written twice in one call.
    keys, slot = _only(place >= arrived[classes] - length, keys, slot)
    if rings.is_contiguous():
        rings.view(-1, dim).index_copy_(0, slot, keys.to(rings))
    else:
        rings[slot // length, slot % length] = keys.to(rings)
    return (pointer + arrived) % length, (count + arrived).clamp_max(length)


def _only(chosen: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
    """Return the chosen rows, which mostly are all of them: then nothing is copied."""
    return rows if chosen.all() else tuple(of[chosen] for of in rows)
