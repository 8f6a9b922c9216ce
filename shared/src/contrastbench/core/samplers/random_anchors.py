"""Anchors at random: the same number of pixels of each class in the global batch."""

from __future__ import annotations

from torch import Tensor

from contrastbench.core.samplers.first_per_group import first_per_group


class RandomAnchors:
    """Draw ``per_class`` pixels of each class at random.

    Args:
        per_class: anchors per class and global batch (50 in Wang et al., section 3.3). A class with fewer
            pixels gives all it has.
    """

    def __init__(self, per_class: int = 50) -> None:
        self.per_class = per_class

    def __call__(self, classes: Tensor, wrong: Tensor, draws: Tensor) -> Tensor:
        """Return the chosen pixels' indices, sorted by class.

        Args:
            classes: ``[n]`` (int64), class of each pixel, negative where it is ignored.
            wrong: ``[n]`` (bool), whether the network mistakes the pixel; not looked at here.
            draws: ``[n]`` (float), uniform draws.
        """
        return first_per_group(classes, draws, self.per_class)
