"""A small problem for the dense contrastive loss, whole or a rank's part of it. Other processes import this by name."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from contrastbench.dcl import DenseContrast

CHANNELS, SIDE = 5, 6
SMALL: dict[str, Any] = {"samples": 3, "dim": 4}


def objective(seed: int = 0, **options: Any) -> DenseContrast:
    """A small objective; the same seed gives the same projection."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return DenseContrast(CHANNELS, **(SMALL | options))


def step_inputs(step: int = 0, rois: int = 12) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features ``[12, 5, 6, 6]``, masks, classes, and images 0 0 0 1 1 1 2 2 2 ...; RoIs 0 and 4 are not valid."""
    generator = torch.Generator().manual_seed(step)
    features = torch.randn(rois, CHANNELS, SIDE, SIDE, generator=generator)
    masks = torch.rand(rois, SIDE, SIDE, generator=generator) < torch.linspace(0.3, 0.7, rois)[:, None, None]
    masks[:1] = False
    masks[:1, 0, :2] = True
    masks[4:5] = True
    classes = torch.randint(3, (rois,), generator=generator)
    return features, masks, classes, torch.arange(rois) // 3


def loop_loss(embeddings: Tensor, temperature: float) -> Tensor:
    """Eq. 3 as it is written, one RoI and one pair at a time.

    Args:
        embeddings: ``[n, 3, K, D]`` (float64), of any length: anchors, positives, negatives.
        temperature: tau.

    Returns:
        The sum over the pairs of each RoI, ``[n]``.
    """

    def similarity(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum() / (a * a).sum().sqrt() / (b * b).sum().sqrt() / temperature

    sums = []
    for anchors, positives, negatives in embeddings:
        total = embeddings.new_zeros(())
        for u in anchors:
            for v in positives:
                denominator = similarity(u, v).exp()
                for w in negatives:
                    denominator = denominator + similarity(u, w).exp()
                total = total - (similarity(u, v).exp() / denominator).log()
        sums.append(total)
    return torch.stack(sums)


def train(options: dict[str, Any], steps: int, split: int = 9) -> dict[str, Any]:
    """Take steps on this rank's part of the joint batch; return losses, counts and gradients (of features and weights).

    Losses and gradients are averaged over the ranks, as data-parallel training does.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    part = slice(None) if world == 1 else (slice(0, split), slice(split, None))[rank]
    module = objective(**options)
    losses, counts, grads = [], [], []
    for step in range(steps):
        whole, masks, classes, images = step_inputs(step)
        whole.requires_grad_()
        out = module(whole[part], *(x[part] for x in (masks, classes, images)))
        out["loss_dcl"].backward()
        grads.append(whole.grad.flatten())
        losses.append(out["loss_dcl"].detach())
        counts.append(torch.stack([out["dcl_rois"], out["dcl_valid_rois"]]))
    out = {
        "losses": torch.stack(losses),
        "features": torch.cat(grads),
        "weights": torch.cat([out["loss_dcl"].new_zeros(0), *(p.grad.flatten() for p in module.parameters())]).detach(),
    }
    if world > 1:
        for tensor in out.values():
            dist.all_reduce(tensor)
            tensor /= world
    return out | {"counts": torch.stack(counts)}
