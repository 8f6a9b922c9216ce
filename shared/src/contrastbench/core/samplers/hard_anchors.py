"""Segmentation-aware hard anchors: half of them pixels that the network gets wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.samplers.first_per_group import first_per_group


class SegmentationAwareAnchors:
    """Draw half of a class's anchors at random, and half among its mistaken pixels.

    Wang et al., ICCV 2021, section 3.2: "half of the anchors are randomly sampled and half are the hard
    ones". Where fewer pixels are mistaken than half, more are drawn at random.

    Args:
        per_class: anchors per class and global batch (50 in section 3.3).
        hard_fraction: the part of them that is drawn among the mistaken pixels.
    """

    def __init__(self, per_class: int = 50, hard_fraction: float = 0.5) -> None:
        self.per_class = per_class
        self.random = per_class - int(per_class * hard_fraction)

    def __call__(self, classes: Tensor, wrong: Tensor, draws: Tensor) -> Tensor:
        """Return the chosen pixels' indices, sorted by class.

        Args:
            classes: ``[n]`` (int64), class of each pixel, negative where it is ignored.
            wrong: ``[n]`` (bool), whether the network mistakes the pixel.
            draws: ``[n]`` (float), uniform draws.
        """
        if not (classes >= 0).any():
            return torch.empty(0, dtype=torch.int64, device=classes.device)
        # One draw a pixel serves all three turns: among those left, who was drawn before tells nothing.
        chosen = first_per_group(classes, draws, self.random)
        for pool in (wrong, torch.ones_like(wrong)):
            left = torch.where(pool, classes, -1)
            left[chosen] = -1
            missing = self.per_class - torch.bincount(classes[chosen], minlength=int(classes.max()) + 1)
            chosen = torch.cat([chosen, first_per_group(left, draws, missing)])
        return chosen[torch.argsort(classes[chosen], stable=True)]
