"""Who is contrasted with whom: anchors and positives inside each mask, negatives outside it, all RoIs at once.

Shapes: n RoIs, S x S pixels of a RoI, K pixels of a set. The three sets are, in this order, anchors A_i, positives P_i
and negatives N_i (Chen et al., BMVC 2022, section 4.2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.draws import generator

SETS = 3
"""Anchors, positives, negatives."""


def roi_draws(images: Tensor, width: int, seed: int, step: int) -> Tensor:
    """Return uniform draws ``[N, width]`` in [0, 1), those of an image's RoIs from a generator of its own.

    A batch split over ranks by whole images so draws what the joint batch would.

    Args:
        images: ``[N]`` (int64), the place of each RoI's image in the global batch; the RoIs of an image stand together.
        width: draws for each RoI.
        seed: the run's seed.
        step: the training step.
    """
    places, counts = images.unique_consecutive(return_counts=True)
    draws = [
        torch.rand(count, width, generator=generator(seed, step, place))
        for place, count in torch.stack([places, counts], 1).tolist()
    ]
    return torch.cat(draws).to(images.device) if draws else torch.empty(0, width, device=images.device)


def draws_needed(pixels: int, count: int, replacement: bool) -> int:
    """Return how many draws :func:`sample_pixels` takes for a RoI of so many pixels."""
    return SETS * (count if replacement else pixels)


def sample_pixels(masks: Tensor, draws: Tensor, count: int, replacement: bool) -> Tensor:
    """Sample K pixels for each set of each RoI, uniformly.

    Anchors and positives are two independent samples of the mask, so that a pixel may be in both and an anchor meet
    itself. With replacement a set may hold a pixel several times, as in the released code; without, it holds K
    different ones. (The paper asks for |M_i| >= K, not 2 K: its two sets need not be disjoint either.)

    Args:
        masks: [M_i] ``[n, S, S]`` (bool); each with at least one pixel inside and one outside, and without
            replacement at least K of each.
        draws: ``[n, draws_needed(S * S, K, replacement)]`` (float) in [0, 1).
        count: K, pixels for each set.
        replacement: whether a set may hold a pixel several times.

    Returns:
        ``[n, 3, K]`` (int64), places in the flattened S x S.
    """
    inside = masks.flatten(1)
    regions = torch.stack([inside, inside, ~inside], 1)
    draws = draws.unflatten(1, (SETS, -1))
    return _with_replacement(regions, draws) if replacement else _without(regions, draws, count)


def gather_pixels(features: Tensor, rois: Tensor, pixels: Tensor) -> Tensor:
    """Return the features of sampled pixels, ``[n, 3, K, C]``.

    Args:
        features: ``[N, C, S, S]`` (float).
        rois: ``[n]`` (int64), which RoIs.
        pixels: ``[n, 3, K]`` (int64), places in the flattened S x S of each.
    """
    places = rois[:, None, None]
    # Either way the gradient lies in memory as the features do; were it the other way round, adding it to that of the
    # mask head's own loss would cost as much as everything else here.
    if features.is_contiguous():
        return features.flatten(2)[places, :, pixels]
    return features.permute(0, 2, 3, 1).flatten(1, 2)[places, pixels]


def _with_replacement(regions: Tensor, draws: Tensor) -> Tensor:
    """Return the u-th pixel of each region ``[n, 3, S*S]``, u uniform below its area, for each draw ``[n, 3, K]``."""
    order = regions.cumsum(-1)
    area = order[..., -1:]
    # A product close to the area may be rounded up to it.
    nth = torch.minimum((draws * area).long(), area - 1)
    return torch.searchsorted(order, nth + 1)


def _without(regions: Tensor, draws: Tensor, count: int) -> Tensor:
    """Return the pixels of each region ``[n, 3, S*S]`` with the smallest draws ``[n, 3, S*S]``."""
    return draws.masked_fill(~regions, torch.inf).topk(count, largest=False).indices
