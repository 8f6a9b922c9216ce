"""Bounded memory and no sorting: a threshold for each anchor, then the first keys of a random order that pass it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from contrastbench.core.ops.top_fraction.parts import part_size
from contrastbench.core.ops.top_fraction.priorities import priorities

if TYPE_CHECKING:
    from contrastbench.core.ops.top_fraction.api import Draw

# Similarities held at once: 128 MB of float32; as many rows of them as fit, one at least.
_BAND_ELEMENTS = 1 << 25
# Keys multiplied at once: 2 MB of float32 at 256 dimensions stay in the cache.
_KEYS = 2048


def top_fraction(
    anchors: Tensor,
    labels: Tensor,
    keys: Sequence[Tensor],
    key_labels: Sequence[Tensor],
    draws: Sequence[Draw],
    words: Tensor,
    fraction: float,
    eligible: Tensor | None,
) -> Tensor:
    """See :func:`contrastbench.core.ops.top_fraction.reference.top_fraction`."""
    anchors = anchors if anchors.dtype == torch.float64 else anchors.float()
    label = torch.cat(list(key_labels))
    chosen = torch.full((len(anchors), sum(draw.k for draw in draws)), -1, device=anchors.device)
    if not len(anchors) or not len(label):
        return chosen
    outs = chosen.split([draw.k for draw in draws], 1)
    # Own keys are few and copied out of the band; those that others may not meet are then overwritten in place.
    turns = sorted(range(len(draws)), key=lambda s: not draws[s].own)
    rows = max(1, _BAND_ELEMENTS // len(label))
    band = anchors.new_empty(min(rows, len(anchors)), len(label))
    for group in _alike(labels, words):
        same = label == labels[group[0]]
        allowed = [torch.nonzero(same if draw.own else (label >= 0) & ~same).squeeze(1) for draw in draws]
        shut = torch.nonzero((label < 0) | same).squeeze(1)
        orders = [_Order(words[group[0], s], allowed[s], draws[s].k, fraction) for s in range(len(draws))]
        for part in group.split(rows):
            similarity = _products(anchors[part], keys, band[: len(part)])
            for s in turns:
                columns = allowed[s]
                hardness = similarity[:, columns] if draws[s].own else similarity
                if draws[s].farthest:
                    hardness = -hardness
                place = torch.arange(len(columns), device=columns.device) if draws[s].own else columns
                if not draws[s].own:
                    hardness.index_fill_(1, shut, -torch.inf)
                count = torch.full((len(part),), len(columns), device=columns.device)
                if eligible is not None:
                    met = columns < eligible.shape[1]
                    barred = ~eligible[part[:, None], columns[met]]
                    hardness[:, place[met]] = hardness[:, place[met]].masked_fill(barred, -torch.inf)
                    count -= barred.sum(1)
                outs[s][part] = orders[s].first(hardness, place, part_size(count, fraction))
    return chosen


class _Order:
    """Keys by falling priority, as far as one needs to go; further where that was not enough."""

    def __init__(self, words: Tensor, columns: Tensor, k: int, fraction: float) -> None:
        self.columns, self.k = columns, k
        self.priority = priorities(words, columns)
        # Of any stretch of a random order, the fraction qualifies; six deviations more is nearly always enough.
        reach = int((k + 6 * k**0.5 + 16) / fraction)
        self.nearly = self.priority.topk(min(reach, len(columns))).indices

    def first(self, hardness: Tensor, place: Tensor, size: Tensor) -> Tensor:
        """Return ``[A, k]``: the first k keys of those of each row's ``size`` hardest, in ascending order, then -1.

        Args:
            hardness: ``[A, W]``, -inf where a key may not be chosen.
            place: where in it the keys of this order are.
            size: ``[A]`` (int64).
        """
        threshold = torch.stack([_nth_largest(*row) for row in zip(hardness, size.tolist(), strict=True)])
        index, found = self._take(hardness, place, size, threshold, self.nearly)
        lacking = torch.nonzero(found < size.clamp_max(self.k)).squeeze(1)
        if len(lacking) and len(self.nearly) < len(self.columns):
            whole = self.priority.argsort(descending=True)
            index[lacking] = self._take(hardness[lacking], place, size[lacking], threshold[lacking], whole)[0]
        return index

    def _take(
        self, hardness: Tensor, place: Tensor, size: Tensor, threshold: Tensor, order: Tensor
    ) -> tuple[Tensor, Tensor]:
        values = hardness[:, place[order]]
        within = values >= threshold[:, None]
        for row in torch.nonzero((values == threshold[:, None]).any(1)).squeeze(1).tolist():
            # Rare with real numbers: a key that equals the threshold, and may have equals before it.
            tied = torch.nonzero(hardness[row] == threshold[row]).squeeze(1)
            left = int(size[row] - (hardness[row] > threshold[row]).sum())
            within[row] &= ~torch.isin(place[order], tied[left:])
        rank = within.cumsum(1, dtype=torch.int32)
        within &= rank <= self.k
        row, column = torch.nonzero(within, as_tuple=True)
        none = torch.iinfo(torch.int64).max
        index = order.new_full((len(hardness), self.k), none)
        index[row, rank[row, column].long() - 1] = self.columns[order[column]]
        index = index.sort(dim=1).values
        found = within.sum(1)
        return index.masked_fill(index == none, -1), found


def _alike(labels: Tensor, words: Tensor) -> Iterator[Tensor]:
    """Yield the indices of anchors that share a class and their seeds, group by group."""
    kind = torch.cat([labels[:, None], words.flatten(1).long()], 1).unique(dim=0, return_inverse=True)[1]
    yield from kind.argsort(stable=True).split(kind.bincount().tolist())


def _products(anchors: Tensor, keys: Sequence[Tensor], out: Tensor) -> Tensor:
    start = 0
    for table in keys:
        for block in table.split(_KEYS):
            torch.mm(anchors, block.to(anchors.dtype).T, out=out[:, start : start + len(block)])
            start += len(block)
    return out


def _nth_largest(values: Tensor, n: int) -> Tensor:
    if n == 0:
        return values.new_tensor(torch.inf)
    at = len(values) - n
    if values.is_cuda:
        return values.kthvalue(at + 1).values
    # Ten times as fast as kthvalue and topk, which do not use vector instructions.
    return values.new_tensor(np.partition(values.numpy(), at)[at])
