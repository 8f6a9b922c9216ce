"""Batch normalisation over the pixels of the global batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contrastbench.core.distributed import gather_rows, world_size


class GlobalBatchNorm(nn.Module):
    """Normalise channels by the mean and variance of all pixels on all ranks, on any device.

    ``nn.SyncBatchNorm`` does so on GPUs only. There are no running statistics: what it is part of exists in training
    only.

    Args:
        channels: C.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise ``[n, C]`` (float), in float32 at least; n may differ between ranks and may be 0."""
        with torch.autocast(pixels.device.type, enabled=False):
            pixels = pixels if pixels.dtype == torch.float64 else pixels.float()
            if world_size() == 1 and len(pixels) > 1:
                return F.batch_norm(pixels, None, None, self.weight, self.bias, training=True, eps=self.eps)
            count = gather_rows(torch.full((1, 1), float(len(pixels))).to(pixels)).sum().clamp_min(1)
            mean = gather_rows(pixels.sum(0, keepdim=True)).sum(0) / count
            centred = pixels - mean
            variance = gather_rows(centred.square().sum(0, keepdim=True)).sum(0) / count
            return centred * (variance + self.eps).rsqrt() * self.weight + self.bias
