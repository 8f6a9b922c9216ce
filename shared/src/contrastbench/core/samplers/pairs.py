"""Which keys an anchor is contrasted with. All samplers choose by hardness, so one serves both sides.

Shapes: A anchors, M keys, K chosen. The hardness of a negative is its similarity to the anchor, that of a
positive its negated similarity (Wang et al., ICCV 2021, section 3.2); a key that may not be chosen has
hardness -inf.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class PairSampler(ABC):
    """Choose at most K keys for each anchor."""

    @abstractmethod
    def __call__(self, hardness: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """Return the chosen keys' columns.

        Args:
            hardness: ``[A, M]`` (float), -inf where a key may not be chosen.
            k: how many to choose for each anchor.
            generator: a CPU generator.

        Returns:
            ``[A, at most k]`` (int64), distinct columns; -1 where an anchor has fewer than the others.
        """


def key_order(columns: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Return one uniform draw a key, the same for all anchors.

    Each anchor's choice is uniform among its own candidates. That anchors share the draws costs nothing in
    expectation, saves A x M random numbers, and makes the choice independent of how anchors are batched.
    """
    return torch.rand(columns, generator=generator).to(device)


def top_columns(order: Tensor, k: int) -> Tensor:
    """Return the columns of the ``k`` largest entries of each row, -1 where the entry is -inf."""
    top = order.topk(min(k, order.shape[1]), dim=1)
    return torch.where(torch.isneginf(top.values), -1, top.indices)
