"""A small training problem for the baselines, whole or a rank's part of it. Other processes import this by name."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from contrastbench.contextrast.baselines import MultiScaleContrast, RegionAwareContrast

CLASSES, IMAGES, CHANNELS = 4, 6, (5, 6, 7, 8)
SIZES = ((8, 12), (4, 6), (4, 6), (2, 3))
SMALL: dict[str, dict[str, Any]] = {
    "multi_scale": {"dim": 8, "min_pixels": 2, "max_views": 4, "max_samples": 40},
    "region_aware": {"dim": 8, "queue_length": 5},
}
KINDS = {"multi_scale": MultiScaleContrast, "region_aware": RegionAwareContrast}


def objective(kind: str, seed: int = 0, **options: Any) -> nn.Module:
    """A small objective; the same seed gives the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return KINDS[kind](CHANNELS, CLASSES, IMAGES, **(SMALL[kind] | options))


def step_inputs(step: int, batch: int = 4) -> tuple[tuple[Tensor, ...], Tensor, Tensor, Tensor]:
    """Features of four scales, logits ``[B, 4, 8, 12]``, labels ``[B, 32, 48]`` with void, image indices."""
    generator = torch.Generator().manual_seed(step)
    features = tuple(torch.randn(batch, c, *size, generator=generator) for c, size in zip(CHANNELS, SIZES, strict=True))
    logits = torch.randn(batch, CLASSES, 8, 12, generator=generator)
    coarse = torch.randint(-1, CLASSES, (batch, 4, 6), generator=generator)
    if step == 0:
        coarse[coarse == 2] = -1  # a class that comes late
    labels = torch.where(coarse < 0, 255, coarse).repeat_interleave(8, 1).repeat_interleave(8, 2)
    return features, logits, labels, torch.randperm(IMAGES, generator=generator)[:batch]


def train(kind: str, options: dict[str, Any], steps: int) -> dict[str, Any]:
    """Take steps on this rank's part of the joint batch; return losses, counts, gradients and the memory.

    Losses and gradients are averaged over the ranks, as data-parallel training does.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    # 3 images here and 1 there: a split that is not even
    part = slice(None) if world == 1 else (slice(0, 3), slice(3, 4))[rank]
    module = objective(kind, **options)
    losses, counts = [], []
    for step in range(steps):
        features, logits, labels, index = step_inputs(step)
        out = module(tuple(f[part] for f in features), logits[part], labels[part], index[part])
        terms = [value for name, value in sorted(out.items()) if name.startswith("loss")]
        sum(terms).backward()
        losses.append(torch.stack([term.detach() for term in terms]))
        counts.append({name: float(value) for name, value in out.items() if not name.startswith("loss")})
    grads = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
    total = torch.stack(losses)
    if world > 1:
        for tensor in (grads, total):
            dist.all_reduce(tensor)
            tensor /= world
    return {"losses": total, "grads": grads, "counts": counts, "memory": dict(module.named_buffers())}


def train_each(kind: str, choices: list[dict[str, Any]], steps: int) -> list[dict[str, Any]]:
    """:func:`train` with each of several sets of options, in processes started once."""
    return [train(kind, options, steps) for options in choices]
