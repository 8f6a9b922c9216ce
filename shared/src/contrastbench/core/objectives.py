"""The seats: what a method offers a host, and a host a method. Neither knows the other's framework."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class SemanticObjective(nn.Module, ABC):
    """A training objective on the features of a semantic segmentation network.

    A host builds it with at least these keyword arguments, and adds what the user configured:

        in_channels: tuple[int, ...]   channels of each tapped feature map
        num_classes: int
        num_images: int                size of the training set
        ignore_index: int              label of pixels that count for nothing

    It exists in training only. A host leaves it out of what it exports.
    """

    @abstractmethod
    def forward(
        self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor
    ) -> Mapping[str, Tensor]:
        """Return the objective's losses and, beside them, what it counted.

        Args:
            features: tapped feature maps, each ``[B, C_l, H_l, W_l]`` (float).
            logits: class scores ``[B, num_classes, h, w]`` (float), any stride.
            labels: ``[B, H, W]`` (int64) at the image's own resolution, with the ignore index.
            image_index: ``[B]`` (int64), each image's place in the training set.

        Returns:
            Scalars by name. A name that begins with ``loss`` is added to the training loss (already
            weighted); any other is a count or a measurement that a host may log.
        """
