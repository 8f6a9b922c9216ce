"""The projection phi: what makes the similarity of two pixels learnable."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Two fully connected layers with a ReLU between them (Chen et al., BMVC 2022, section 4.2, Learnable Similarity).

    On a map they would be 1x1 convolutions; on sampled pixels they are linear layers, and give the same. They work in
    the precision of their weights, not in autocast's.

    Args:
        in_channels: C, channels of the RoI features.
        dim: D, size of an embedding; None for C, as in the released code.
    """

    def __init__(self, in_channels: int, dim: int | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_channels, in_channels), nn.ReLU(inplace=True), nn.Linear(in_channels, dim or in_channels)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Project pixels ``[..., C]`` (float) to embeddings ``[..., D]``, of the weights' precision and any length."""
        with torch.autocast(pixels.device.type, enabled=False):
            embeddings: Tensor = self.layers(pixels.to(self.layers[0].weight.dtype))  # type: ignore[arg-type]
            return embeddings
