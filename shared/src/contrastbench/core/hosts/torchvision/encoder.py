"""An encoder of crops: torchvision's ResNet-18 without its classifier, at any width, from random weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from contrastbench.core.errors import InputError, require_number
from contrastbench.core.hosts.torchvision.resnet import ResNet

_DEPTHS = (2, 2, 2, 2)


class CropEncoder(nn.Sequential):
    """A ResNet-18 and the mean over its last feature map.

    Args:
        width: channels of the first stage, doubled by each next one.
        stem_stride: 4, or 2 without the pooling after the first convolution, for small crops.

    Attributes:
        dim: of its features, 8 times the width.

    Raises:
        InputError: the width is no whole number above 0, or the stride is another.
    """

    def __init__(self, width: int, stem_stride: int) -> None:
        require_number("encoder.width", width, least=1, whole=True)
        if stem_stride not in (2, 4):
            raise InputError(f"encoder.stem_stride is {stem_stride!r}; expected 4, or 2 for small crops")
        body = ResNet(BasicBlock, _DEPTHS, width=width, stem_stride=stem_stride, norm=_BatchNorm)
        super().__init__(body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dim = 8 * width

    def forward(self, crops: Tensor) -> Tensor:
        """Encode crops ``[n, 3, S, S]`` (float), n of 0 or more, as features ``[n, dim]``."""
        features: Tensor = super().forward(crops)
        return features


def resnet18(width: int = 64, stem_stride: int = 4) -> CropEncoder:
    """Return torchvision's ``resnet18(weights=None)`` without its classifier: its layers, names and initial weights.

    Args:
        width: channels of the first stage; 64 for torchvision's own. The cost falls about with its square.
        stem_stride: 4 as torchvision's, or 2 without the pooling after the first convolution: a crop of 32 pixels is
            then 2 x 2 in the last stage and not one, at four times the cost.

    Raises:
        InputError: the width is no whole number above 0, or the stride is another.
    """
    return CropEncoder(width, stem_stride)


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
