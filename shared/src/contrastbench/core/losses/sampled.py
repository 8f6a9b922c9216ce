"""Choosing positives and negatives for each anchor out of several tables of keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from contrastbench.core.draws import generator
from contrastbench.core.errors import InputError
from contrastbench.core.ops.top_fraction import Draw, class_seeds, kernels_fit, top_fraction
from contrastbench.core.samplers import PairSampler, SemiHardPairs

# Similarities held at once: 128 MB of float32. The samplers need a few times that for a moment.
_CHUNK_ELEMENTS = 1 << 25


class KeyTable(NamedTuple):
    """Keys ``[M, D]`` with their classes ``[M]`` (int64), negative for a slot that holds nothing."""

    keys: Tensor
    labels: Tensor


class Selection(NamedTuple):
    """What each anchor is contrasted with: positives ``[A, P]`` and negatives ``[A, K]`` (int64).

    Indices count through the tables from the first to the last; -1 is none.
    """

    positives: Tensor
    negatives: Tensor


@torch.no_grad()
def select_pairs(
    anchors: Tensor,
    labels: Tensor,
    tables: Sequence[KeyTable],
    sampler: PairSampler,
    positives: int,
    negatives: int,
    key: tuple[int, ...],
    *,
    eligible: Tensor | None = None,
    impl: str | None = None,
) -> Selection:
    """Let a sampler choose positives and negatives for every anchor, class by class in bounded memory.

    Args:
        anchors: ``[A, D]`` (float).
        labels: ``[A]`` (int64).
        tables: the keys there are.
        sampler: what chooses; hard means near for a negative and far for a positive.
        positives: P, positives for each anchor at most.
        negatives: K, negatives for each anchor at most.
        key: numbers that seed the choice, (seed, step) say. With the same key, the choice for an anchor
            depends on the keys and on that anchor alone.
        eligible: ``[A, M_0]`` (bool), which keys of the first table an anchor may meet; None for all.
        impl: ``"dense"`` (the sampler sees the similarities of a class's anchors), an implementation of
            :func:`contrastbench.core.ops.top_fraction.top_fraction` for semi-hard sampling, or None: its kernels where
            they fit, and otherwise ``"dense"``. The two ways draw from the same keys, but not the same of them.

    Returns:
        The selection, on the anchors' device.

    Raises:
        InputError: an implementation that is unknown, or that cannot be used with these tensors or this sampler.
    """
    if impl is None and isinstance(sampler, SemiHardPairs):
        tensors = [anchors, labels, *(t for table in tables for t in table), *([] if eligible is None else [eligible])]
        impl = "triton" if kernels_fit(*tensors) else "dense"
    if impl not in (None, "dense"):
        return _drawn(anchors, labels, tables, sampler, (positives, negatives), key, eligible, impl)
    keys = [table.keys.detach().to(anchors.dtype) for table in tables]
    key_labels = torch.cat([table.labels for table in tables])
    rows = max(1, _CHUNK_ELEMENTS // max(len(key_labels), 1))
    chosen = Selection(
        torch.full((len(anchors), positives), -1, device=anchors.device),
        torch.full((len(anchors), negatives), -1, device=anchors.device),
    )
    for c in labels.unique().tolist():
        own = torch.nonzero(key_labels == c).squeeze(1)
        other = (key_labels >= 0) & (key_labels != c)
        for part in torch.nonzero(labels == c).squeeze(1).split(rows):
            with torch.autocast(anchors.device.type, enabled=False):
                similarity = torch.cat([anchors[part] @ k.T for k in keys], 1)
            allowed = torch.ones_like(similarity, dtype=torch.bool)
            if eligible is not None:
                allowed[:, : eligible.shape[1]] = eligible[part]
            far = (-similarity[:, own]).masked_fill_(~allowed[:, own], -torch.inf)
            place = sampler(far, positives, generator(*key, c, 0))
            # The sampler saw the class's own keys alone: from a place among them to an index of all.
            index = own[place.clamp_min(0)] if len(own) else place
            chosen.positives[part, : place.shape[1]] = torch.where(place < 0, -1, index)
            near = similarity.masked_fill_(~(allowed & other), -torch.inf)
            index = sampler(near, negatives, generator(*key, c, 1))
            chosen.negatives[part, : index.shape[1]] = index
    return chosen


def _drawn(
    anchors: Tensor,
    labels: Tensor,
    tables: Sequence[KeyTable],
    sampler: PairSampler,
    counts: tuple[int, int],
    key: tuple[int, ...],
    eligible: Tensor | None,
    impl: str | None,
) -> Selection:
    if not isinstance(sampler, SemiHardPairs):
        raise InputError(
            f"select_pairs: impl='{impl}' is for SemiHardPairs, not {type(sampler).__name__}; use impl='dense'"
        )
    draws = [Draw(counts[0], own=True, farthest=True), Draw(counts[1], own=False, farthest=False)]
    seeds = class_seeds(labels, key, len(draws))
    keys, key_labels = [table.keys for table in tables], [table.labels for table in tables]
    chosen = top_fraction(
        anchors, labels, keys, key_labels, draws, seeds, fraction=sampler.fraction, eligible=eligible, impl=impl
    )
    return Selection(*chosen)
