"""A small problem for triplets and their losses, whole or a rank's part of it. Other processes import this by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from contrastbench.longtail import TripletLoss, Triplets, TripletSampler, mask_intersections

SIZES = (8, 0, 1, 12)
"""Proposals of the images of a batch."""

DIM = 3
KINDS = ("foreground", "full", "background")


def random_masks(count: int, seed: int, side: int = 12) -> Tensor:
    """Return rectangles ``[count, side, side]`` (bool), about one of five of them empty."""
    generator = torch.Generator().manual_seed(seed)
    low = (torch.rand(count, 2, 1, generator=generator) * side * 0.6).long()
    high = low + 2 + (torch.rand(count, 1, 1, generator=generator) * side * 0.6).long()
    place = torch.arange(side)
    rows, columns = ((place >= low) & (place < high)).unbind(1)
    return rows[:, :, None] & columns[:, None] & (torch.rand(count, 1, 1, generator=generator) > 0.2)


def batch() -> list[Tensor]:
    """Return the intersections of the batch's images; the seeds give triplets of all three kinds."""
    return [mask_intersections(random_masks(count, seed)) for seed, count in enumerate(SIZES, 70)]


def points(kind: str, step: int = 0) -> Tensor:
    """Return embeddings of all proposals of the batch ``[21, 3]`` (float64), inside the ball."""
    generator = torch.Generator().manual_seed(3 * step + KINDS.index(kind))
    vectors = torch.randn(sum(SIZES), DIM, generator=generator, dtype=torch.float64)
    length = vectors.norm(dim=1, keepdim=True)
    return vectors / length * (0.5 * length).tanh()


def loop_distance(x: Sequence[float], y: Sequence[float], space: str = "poincare") -> float:
    """Return Eq. 2 as it is written, or the Euclidean distance, in plain Python floats."""
    apart = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    if space == "euclidean":
        return math.sqrt(apart)
    room = (1 - sum(a * a for a in x)) * (1 - sum(b * b for b in y))
    return math.acosh(1 + 2 * apart / room)


def take_part(options: dict[str, Any], loss: dict[str, Any], split: int, steps: int = 3) -> dict[str, Tensor]:
    """Draw and compare this rank's part of the batch; return what all ranks together have.

    Losses and gradients are averaged over the ranks, as data-parallel training does. The triplets are numbered as in
    the whole batch, and put together in the order of the ranks.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    images = list(range(len(SIZES)))
    images = images if world == 1 else (images[:split], images[split:])[rank]
    start = sum(SIZES[: images[0]]) if images else 0
    whole = batch()
    sampler, module = TripletSampler(**options), TripletLoss(**loss)
    values, grads, counts, triplets = [], [], [], []
    for step in range(steps):
        drawn = sampler([whole[i] for i in images], [7 * i for i in images], step)
        here = slice(start, start + sum(SIZES[i] for i in images))
        tables = [points(kind, step).requires_grad_() for kind in KINDS]
        foreground, full, background = (table[here] for table in tables)
        out = module(foreground, full[drawn.mask], background[drawn.mask], drawn)
        losses = [out["loss_mask"], out["loss_object"], out["loss_hierarchical"]]
        torch.stack(losses).sum().backward()
        values.append(torch.stack(losses).detach())
        grads.append(torch.stack([table.grad for table in tables]))
        counts.append(torch.stack([out["mask_triplets"], out["object_triplets"], out["hierarchical_pairs"]]))
        triplets.append(_renumbered(drawn, start))
    result = {"losses": torch.stack(values), "grads": torch.stack(grads)}
    if world > 1:
        for tensor in result.values():
            dist.all_reduce(tensor)
            tensor /= world
    return result | {"counts": torch.stack(counts), "triplets": torch.cat(triplets)}


def take_parts(
    cases: Sequence[tuple[dict[str, Any], dict[str, Any]]], splits: Sequence[int]
) -> list[dict[str, Tensor]]:
    """Return :func:`take_part` of every case at every split: starting processes takes longer than all of them."""
    return [take_part(*case, split) for case in cases for split in splits]


def _renumbered(drawn: Triplets, start: int) -> Tensor:
    """Return rows of (kind, place, place, place) in the numbering of the whole batch."""
    rows = [[0, i + start, -1, -1] for i in drawn.mask.tolist()]
    triples = zip(drawn.anchor.tolist(), drawn.positive.tolist(), drawn.negative.tolist(), strict=True)
    rows += [[1, a + start, p + start, n] for a, p, n in triples]
    rows += [[2, p + start, c + start, -1] for p, c in zip(drawn.parent.tolist(), drawn.child.tolist(), strict=True)]
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 4)
