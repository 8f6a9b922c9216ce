"""An encoder of crops: torchvision's ResNet-18 without its classifier, at any width, from random weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.torchvision.network import _ResNet

_DEPTHS = (2, 2, 2, 2)


class CropEncoder(nn.Sequential):
    """A ResNet-18 and the mean over its last feature map.

    Args:
        width: channels of the first stage, doubled by each next one.

    Attributes:
        dim: of its features, 8 times the width.

    Raises:
        InputError: the width is no whole number above 0.
    """

    def __init__(self, width: int) -> None:
        if not isinstance(width, int) or isinstance(width, bool) or width < 1:
            raise InputError(f"encoder.width is {width!r}; expected a whole number of 1 or more")
        super().__init__(_ResNet(BasicBlock, _DEPTHS, width, _BatchNorm), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dim = 8 * width

    def forward(self, crops: Tensor) -> Tensor:
        """Encode crops ``[n, 3, S, S]`` (float), n of 0 or more, as features ``[n, dim]``."""
        features: Tensor = super().forward(crops)
        return features


def resnet18(width: int = 64) -> CropEncoder:
    """Return torchvision's ``resnet18(weights=None)`` without its classifier: its layers, names and initial weights.

    Args:
        width: channels of the first stage; 64 for torchvision's own. The cost falls about with its square.

    Raises:
        InputError: the width is no whole number above 0.
    """
    return CropEncoder(width)


class _BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that goes by its running statistics where a channel has fewer than two values.

    A small crop is a single pixel in the last stage, of which one crop alone has no variance; an image may even have
    no proposal at all.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``[n, C, H, W]``."""
        if self.training and input.numel() < 2 * input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(input)
