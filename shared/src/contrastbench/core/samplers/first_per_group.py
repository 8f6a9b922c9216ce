"""The k first of each group by some order, for all groups at once."""

from __future__ import annotations

import torch
from torch import Tensor


def rank_in_group(groups: Tensor) -> Tensor:
    """Return each element's place (0, 1, ...) among the elements of its group, in the order given.

    Args:
        groups: ``[n]`` (int64), non-negative group of each element.
    """
    order = torch.argsort(groups, stable=True)
    counts = torch.bincount(groups)
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(groups)
    place[order] = torch.arange(len(groups), device=groups.device) - starts[groups[order]]
    return place


def first_per_group(groups: Tensor, draws: Tensor, k: int | Tensor) -> Tensor:
    """Return the indices of the ``k`` elements with the smallest draws in each group.

    With uniform draws this is ``k`` at random without replacement.

    Args:
        groups: ``[n]`` (int64), the group of each element; a negative group takes no part.
        draws: ``[n]`` (float), what orders the elements of a group.
        k: how many of each group, one number or ``[number of groups]`` (int64).

    Returns:
        ``[m]`` (int64), sorted by group and, within it, by draw.
    """
    candidates = torch.nonzero(groups >= 0).squeeze(1)
    candidates = candidates[torch.argsort(draws[candidates], stable=True)]
    candidates = candidates[torch.argsort(groups[candidates], stable=True)]
    limit = k[groups[candidates]] if isinstance(k, Tensor) else k
    return candidates[rank_in_group(groups[candidates]) < limit]
