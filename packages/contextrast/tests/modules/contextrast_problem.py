"""A small training problem, whole or a rank's part of it. Other processes import this by name."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from contrastbench.contextrast import Contextrast

CLASSES, CHANNELS, SIZES = 5, (5, 6, 7), ((8, 12), (4, 6), (2, 3))
SMALL: dict[str, Any] = {
    "layer_weights": (0.1, 0.4, 1.0),
    "dim": 8,
    "positives": 6,
    "negatives": 20,
    "minimum": 4,
}


def objective(seed: int = 0, **options: Any) -> Contextrast:
    """A small objective; the same seed gives the same projectors."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Contextrast(CHANNELS, CLASSES, **(SMALL | options))


def step_inputs(step: int, batch: int = 4) -> tuple[tuple[Tensor, ...], Tensor, Tensor, Tensor]:
    """Features at strides 4, 8 and 16, logits at stride 4, labels ``[B, 32, 48]`` with ignored pixels, indices.

    Class 3 is in the first image alone and too small for the coarsest map; class 4 is nowhere.
    """
    generator = torch.Generator().manual_seed(step)
    features = tuple(torch.randn(batch, c, *size, generator=generator) for c, size in zip(CHANNELS, SIZES, strict=True))
    coarse = torch.randint(-1, 3, (batch, *SIZES[0]), generator=generator)
    coarse[0, 1, 1:4] = 3
    logits = torch.randn(batch, CLASSES, *SIZES[0], generator=generator)
    logits.scatter_add_(
        1, coarse.clamp_min(0)[:, None], torch.full_like(logits[:, :1], 1.5)
    )  # right more often than not
    labels = torch.where(coarse < 0, 255, coarse).repeat_interleave(4, 1).repeat_interleave(4, 2)
    index = torch.randperm(9, generator=generator)[:batch]
    return features, logits, labels, index


def train(options: dict[str, Any], steps: int) -> dict[str, Any]:
    """Take steps on this rank's part of the joint batch; return losses, counts and the projectors' gradient.

    Losses and gradients are averaged over the ranks, as data-parallel training does.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    # 3 images here and 1 there: a split that is not even
    part = slice(None) if world == 1 else (slice(0, 3), slice(3, 4))[rank]
    module = objective(**options)
    losses, counts, inputs = [], [], []
    for step in range(steps):
        features, logits, labels, index = step_inputs(step)
        own = tuple(f[part].clone().requires_grad_() for f in features)
        out = module(own, logits[part], labels[part], index[part])
        loss = out["loss_contextrast"]
        loss.backward()
        losses.append(loss.detach())
        counts.append(torch.stack([v for k, v in out.items() if not k.startswith("loss")]))
        # of the sum over ranks of their losses; averaged, as the gradient of the weights is
        inputs.append(torch.cat([f.grad.flatten(1) for f in own if f.grad is not None], 1) / world)
    grads = torch.cat([p.grad.flatten() for p in module.projectors.parameters() if p.grad is not None])
    total = torch.stack(losses)
    if world > 1:
        for tensor in (grads, total):
            dist.all_reduce(tensor)
            tensor /= world
    return {"losses": total, "counts": torch.stack(counts), "grads": grads, "inputs": torch.stack(inputs)}


def train_each(choices: list[dict[str, Any]], steps: int) -> list[dict[str, Any]]:
    """:func:`train` with each of several choices, in one process."""
    return [train(options, steps) for options in choices]
