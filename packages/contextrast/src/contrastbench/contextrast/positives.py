"""Which pixels a class's anchor draws near: a random part of the class, whatever rank holds them."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.distributed import gather_rows, rank, row_counts
from contrastbench.core.samplers import first_per_group


def own_rows(candidates: Tensor, chosen: Tensor) -> Tensor:
    """Return which of this rank's candidates are among the chosen ones of all ranks, in the order they stand.

    Args:
        candidates: ``[m]``, this rank's; only how many matters.
        chosen: ``[M]`` (bool), over the candidates of all ranks, one rank after the other.

    Returns:
        ``[m]`` (bool).
    """
    start = sum(row_counts(candidates)[: rank()])
    return chosen[start : start + len(candidates)]


@torch.no_grad()
def choose_positives(classes: Tensor, draws: Tensor, limit: int) -> Tensor:
    """Choose at random at most ``limit`` pixels of each class in the global batch.

    Args:
        classes: ``[n]`` (int64), of this rank's pixels; negative where a pixel counts for nothing.
        draws: ``[n]`` (float), uniform draws.
        limit: pixels of each class at most.

    Returns:
        ``[m]`` (int64), this rank's share, in ascending order.
    """
    # The global choice is among the first of each rank.
    candidates = first_per_group(classes, draws, limit).sort().values
    chosen = first_per_group(gather_rows(classes[candidates]), gather_rows(draws[candidates]), limit)
    mask = torch.zeros(sum(row_counts(candidates)), dtype=torch.bool, device=classes.device)
    mask[chosen] = True
    return candidates[own_rows(candidates, mask)]
