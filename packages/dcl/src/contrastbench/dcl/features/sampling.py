"""Drawing pixels from RoI features, as many of the foreground as of the background."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_pixels(features: Tensor, masks: Tensor, per_roi: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw pixels of each RoI without repetition: half of the foreground, half of the background.

    A side of a RoI that has fewer pixels gives all of them; the other gives no more for that.

    Args:
        features: ``[N, C, S, S]`` (float), the input of the mask head's last layer, or its projection.
        masks: ``[N, S, S]`` (bool), each RoI's own instance.
        per_roi: pixels of a RoI at most; the odd one is of the foreground.
        generator: on the CPU.

    Returns:
        Features ``[n, C]`` and whether each is of the foreground ``[n]`` (bool), RoI by RoI, on the features' device.
    """
    foreground = masks.flatten(1).bool()
    order = torch.rand(foreground.shape, generator=generator).to(features.device)
    places = torch.arange(foreground.shape[1], device=features.device).expand(foreground.shape)
    chosen = torch.zeros_like(foreground)
    for side, wanted in ((foreground, (per_roi + 1) // 2), (~foreground, per_roi // 2)):
        # a random order of the side's pixels, behind them all others
        ranked = order.masked_fill(~side, 2.0).argsort(1)
        rank = torch.empty_like(ranked).scatter_(1, ranked, places)
        chosen |= side & (rank < wanted)
    return features.flatten(2).transpose(1, 2)[chosen], foreground[chosen]
