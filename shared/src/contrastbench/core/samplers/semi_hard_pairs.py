"""Semi-hard keys: K at random among the hardest tenth."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.samplers.pairs import PairSampler, key_order, top_columns


class SemiHardPairs(PairSampler):
    """Choose K at random among the hardest ``fraction`` of the keys (Wang et al., "semi-hard example sampling").

    Where that fraction holds fewer than K keys, it is taken whole; it holds at least one.

    Args:
        fraction: the part of the eligible keys to draw from, in (0, 1]; 0.1 in the paper.

    Raises:
        InputError: a fraction outside its range.
    """

    def __init__(self, fraction: float = 0.1) -> None:
        if not 0 < fraction <= 1:
            raise InputError(f"fraction is a part of the keys in (0, 1], not {fraction}")
        self.fraction = fraction

    def __call__(self, hardness: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """See :meth:`PairSampler.__call__`."""
        order = key_order(hardness.shape[1], generator, hardness.device)
        eligible = hardness.shape[1] - torch.isneginf(hardness).sum(1)
        # float64, or 0.1 of 10 would round up to 2
        size = torch.ceil(eligible.double() * self.fraction - 1e-9).long()
        widest = int(size.max()) if len(size) else 0
        if widest == 0:
            return torch.full((len(hardness), 0), -1, device=hardness.device)
        # Which tenth is the same for all anchors of a class but in odd cases; only those need it sorted.
        uneven = bool((size != widest).any())
        hardest = hardness.topk(widest, dim=1, sorted=uneven)
        draws = order[hardest.indices].masked_fill(torch.isneginf(hardest.values), -torch.inf)
        if uneven:
            beyond = torch.arange(widest, device=hardness.device) >= size[:, None]
            draws = draws.masked_fill(beyond, -torch.inf)
        chosen = top_columns(draws, k)
        return torch.where(chosen < 0, -1, hardest.indices.gather(1, chosen.clamp_min(0)))
