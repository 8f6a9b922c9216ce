"""The hardest keys: nearest negatives, farthest positives."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.samplers.pairs import PairSampler, top_columns


class HardestPairs(PairSampler):
    """Choose the K hardest keys (Wang et al., "hardest example sampling")."""

    def __call__(self, hardness: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """See :meth:`PairSampler.__call__`; nothing here is random."""
        return top_columns(hardness, k)
