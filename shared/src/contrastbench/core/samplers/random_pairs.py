"""Keys at random among all that may be chosen."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.samplers.pairs import PairSampler, key_order, top_columns


class RandomPairs(PairSampler):
    """Choose K keys at random, without replacement."""

    def __call__(self, hardness: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """See :meth:`PairSampler.__call__`."""
        order = key_order(hardness.shape[1], generator, hardness.device).expand_as(hardness)
        return top_columns(order.masked_fill(torch.isneginf(hardness), -torch.inf), k)
