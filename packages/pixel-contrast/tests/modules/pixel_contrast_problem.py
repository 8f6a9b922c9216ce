"""A small training problem, whole or a rank's part of it. Other processes import this by name."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from contrastbench.pixel_contrast import PixelContrast

CLASSES, IMAGES, CHANNELS = 4, 6, 5
SMALL: dict[str, Any] = {
    "dim": 8,
    "anchors_per_class": 6,
    "positives": 5,
    "negatives": 7,
    "pixels_per_image": 3,
    "queue_length": 10,
}


def objective(seed: int = 0, **options: Any) -> PixelContrast:
    """A small objective; the same seed gives the same projection head."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PixelContrast((CHANNELS,), CLASSES, IMAGES, **(SMALL | options))


def step_inputs(step: int, batch: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features at stride 4 ``[B, 5, 6, 8]``, logits, labels ``[B, 24, 32]`` with ignored pixels, image indices."""
    generator = torch.Generator().manual_seed(step)
    features = torch.randn(batch, CHANNELS, 6, 8, generator=generator)
    logits = torch.randn(batch, CLASSES, 6, 8, generator=generator)
    coarse = torch.randint(-1, CLASSES, (batch, 6, 8), generator=generator)
    coarse[coarse == 2] = -1  # a class that comes late
    if step >= 2:
        coarse[0, 0] = 2
    labels = torch.where(coarse < 0, 255, coarse).repeat_interleave(4, 1).repeat_interleave(4, 2)
    index = torch.randperm(IMAGES, generator=generator)[:batch]
    return features, logits, labels, index


def train(options: dict[str, Any], steps: int) -> dict[str, Any]:
    """Take steps on this rank's part of the joint batch; return losses, counts, the banks and the head's gradient.

    Losses and gradients are averaged over the ranks, as data-parallel training does.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    # 3 images here and 1 there: a split that is not even
    part = slice(None) if world == 1 else (slice(0, 3), slice(3, 4))[rank]
    module = objective(**options)
    losses, counts = [], []
    for step in range(steps):
        features, logits, labels, index = (x[part] for x in step_inputs(step))
        out = module((features,), logits, labels, index)
        loss = out["loss_contrast"]
        loss.backward()
        losses.append(loss.detach())
        counts.append({name: float(value) for name, value in out.items() if name != "loss_contrast"})
    grads = torch.cat([p.grad.flatten() for p in module.projection.parameters() if p.grad is not None])
    total = torch.stack(losses)
    if world > 1:
        for tensor in (grads, total):
            dist.all_reduce(tensor)
            tensor /= world
    state = {k: v for k, v in module.state_dict().items() if "." in k}
    return {"losses": total, "grads": grads, "counts": counts, "state": state}
