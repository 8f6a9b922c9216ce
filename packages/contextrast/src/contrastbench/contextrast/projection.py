"""The projector pi: what turns a pixel's features into its embedding, one for each tapped layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from contrastbench.core.batch_norm import GlobalBatchNorm


class Projector(nn.Module):
    """Two layers with normalisation and a ReLU between them, then unit length.

    Sung et al. (CVPR 2024) only name an "encoding function"; this is the form of the work they compare with and build
    on (Pissas et al., ECCV 2022). Its 1x1 convolutions are linear layers on a pixel's channels, and are written as
    such.

    Args:
        in_channels: C_i, channels of the layer's features.
        dim: d, size of an embedding.
        batch_norm: normalise between the layers, over all pixels of the global batch.
    """

    def __init__(self, in_channels: int, dim: int = 256, batch_norm: bool = True) -> None:
        super().__init__()
        norm: list[nn.Module] = [GlobalBatchNorm(in_channels)] if batch_norm else []
        self.layers = nn.Sequential(
            nn.Linear(in_channels, in_channels), *norm, nn.ReLU(inplace=True), nn.Linear(in_channels, dim)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Project pixels ``[n, C_i]`` (float) to embeddings ``[n, d]`` (float32 at least) of unit length."""
        projected = self.layers(pixels)
        # Under autocast the layers may give half precision: a length is a sum over d and wants more.
        return F.normalize(projected if projected.dtype.itemsize > 4 else projected.float(), dim=-1)
