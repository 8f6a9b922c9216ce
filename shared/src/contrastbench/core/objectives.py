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


class MaskObjective(nn.Module, ABC):
    """A training objective on the RoI features of an instance segmentation network.

    A host builds it with at least these keyword arguments, and adds what the user configured:

        in_channels: int               channels of the RoI features
        num_classes: int               categories of the data, background not among them

    It exists in training only. A host leaves it out of what it exports.
    """

    @abstractmethod
    def forward(self, features: Tensor, masks: Tensor, classes: Tensor, images: Tensor) -> Mapping[str, Tensor]:
        """Return the objective's losses and, beside them, what it counted.

        N is the number of foreground RoIs of the step on this rank; it may be 0.

        Args:
            features: what the last layer of the mask head takes, ``[N, C, S, S]`` (float).
            masks: each RoI's own instance within its box, ``[N, S, S]`` (bool).
            classes: ``[N]`` (int64), from 0.
            images: ``[N]`` (int64), the place of each RoI's image in the global batch; the RoIs of an image
                stand together.

        Returns:
            Scalars by name, as of :meth:`SemanticObjective.forward`.
        """
