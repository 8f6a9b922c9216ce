"""Anchors as the authors' released code draws them: per image and class, under one cap."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.distributed import all_sum
from contrastbench.core.samplers.first_per_group import first_per_group


class PerImageAnchors:
    """Draw the same number of pixels from each (image, class) pair that has enough of them.

    A pair takes part if it has more than ``max_views`` pixels; each gives
    ``min(max_samples // pairs, max_views)``, half mistaken and half correct, each half filled up from the
    other where it is short (tfzhou/ContrastiveSeg, as described in the package's known differences).

    Args:
        max_samples: anchors in the global batch at most (in the released code: in a rank's part of it, so that
            the number of ranks changed the loss).
        max_views: anchors of one image and class at most.
    """

    def __init__(self, max_samples: int = 1024, max_views: int = 100) -> None:
        self.max_samples = max_samples
        self.max_views = max_views

    def __call__(self, classes: Tensor, wrong: Tensor, draws: Tensor, images: Tensor) -> Tensor:
        """Return the chosen pixels' indices, sorted by class.

        Args:
            classes: ``[n]`` (int64), class of each pixel, negative where it is ignored.
            wrong: ``[n]`` (bool), whether the network mistakes the pixel.
            draws: ``[n]`` (float), uniform draws.
            images: ``[n]`` (int64), the image of each pixel.
        """
        num_classes = int(classes.max()) + 1 if len(classes) else 0
        pairs = torch.where(classes >= 0, images * num_classes + classes, -1)
        size = torch.bincount(pairs[pairs >= 0])
        large = size > self.max_views
        # An image lies on one rank whole, so the ranks' pairs are distinct and add up.
        all_pairs = int(all_sum(large.sum()))
        if not large.any():
            return torch.empty(0, dtype=torch.int64, device=classes.device)
        views = min(self.max_samples // all_pairs, self.max_views)
        pairs = torch.where((pairs >= 0) & large[pairs.clamp_min(0)], pairs, -1)
        mistaken = torch.bincount(pairs[(pairs >= 0) & wrong], minlength=len(size))
        # half of them, fewer where fewer are mistaken, more where the correct ones are short
        hard_count = torch.minimum(mistaken, (views - (size - mistaken)).clamp_min(views // 2))
        hard = first_per_group(torch.where(wrong, pairs, -1), draws, hard_count)
        easy = first_per_group(torch.where(wrong, -1, pairs), draws, views - hard_count)
        chosen = torch.cat([hard, easy])
        return chosen[torch.argsort(classes[chosen], stable=True)]
