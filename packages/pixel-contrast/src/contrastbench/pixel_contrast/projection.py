"""The projection head f_PROJ: what turns a pixel's features into its embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from contrastbench.core.batch_norm import GlobalBatchNorm


class ProjectionHead(nn.Module):
    """Two layers with a ReLU between them, then unit length (Wang et al., ICCV 2021, section 3.3).

    The paper's 1x1 convolutions are linear layers on a pixel's channels, and are written as such: they apply to
    sampled pixels as to whole maps.

    Args:
        in_channels: C, channels of the tapped features.
        dim: D, size of an embedding (256).
        batch_norm: normalise between the layers over the global batch, as the released code does. Then an embedding
            depends on all pixels, and all must be projected.
    """

    def __init__(self, in_channels: int, dim: int = 256, batch_norm: bool = False) -> None:
        super().__init__()
        self.batch_norm = batch_norm
        norm: list[nn.Module] = [GlobalBatchNorm(in_channels)] if batch_norm else []
        self.layers = nn.Sequential(
            nn.Linear(in_channels, in_channels), *norm, nn.ReLU(inplace=True), nn.Linear(in_channels, dim)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Project pixels ``[n, C]`` (float) to embeddings ``[n, D]`` (float32 at least) of unit length."""
        projected = self.layers(pixels)
        # Under autocast the layers may give half precision: a length is a sum over D and wants more.
        return F.normalize(projected if projected.dtype.itemsize > 4 else projected.float(), dim=-1)
