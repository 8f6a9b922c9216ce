"""The mean over the anchors of all ranks."""

from __future__ import annotations

from torch import Tensor

from contrastbench.core.distributed import all_sum, world_size


def mean_over_anchors(loss: Tensor, counted: Tensor) -> Tensor:
    """Return the mean loss over the counted anchors of the global batch, for data-parallel training.

    Data-parallel training averages gradients over ranks, so the local sum is divided by the global count and
    multiplied by the number of ranks: what results is the gradient of the global mean, also where one rank has
    many anchors and another none. Averaged over ranks, the value is the global mean too.

    Args:
        loss: ``[A]`` (float), this rank's anchors.
        counted: ``[A]`` (bool), which of them have a positive; the others are left out.

    Returns:
        A scalar; 0, connected to the graph, where no anchor counts anywhere.
    """
    total = all_sum(counted.sum()).clamp_min(1).to(loss.dtype)
    return (loss * counted).sum() * (world_size() / total)
