"""The write of one step into Cityscapes' pixel queue: 19 rings of 29,750 keys of 256.

python shared/benchmarks/ops/queue_write.py [--device cpu|cuda] [--json FILE]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.ops.queue_write import queue_write
from contrastbench.core.testing.bench import Case
from contrastbench.core.testing.bench.command import main

CLASSES, DIM = 19, 256
# Ten pixels of each of N = 2,975 images.
LENGTH, SMALL_LENGTH = 10 * 2975, 23


class Problem(NamedTuple):
    """Rings ``[C, T, D]`` with pointer and count ``[C]``; keys ``[n, D]`` and their classes ``[n]``."""

    rings: Tensor
    pointer: Tensor
    count: Tensor
    keys: Tensor
    classes: Tensor


def step(device: str, small: bool, *, number: int) -> Problem:
    """Draw full rings and the keys of a step."""
    torch.manual_seed(0)
    length, number = (SMALL_LENGTH, 700) if small else (LENGTH, number)
    return Problem(
        torch.zeros(CLASSES, length, DIM, device=device),
        torch.randint(length, (CLASSES,), device=device),
        torch.full((CLASSES,), length, device=device),
        F.normalize(torch.randn(number, DIM, device=device), dim=1),
        torch.randint(CLASSES, (number,), device=device),
    )


def plain(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """One class after another."""
    rings, pointer, count, keys, classes = problem
    length = rings.shape[1]
    pointer, count = pointer.clone(), count.clone()
    for c in range(len(rings)):
        own = keys[classes == c]
        slots = (pointer[c] + torch.arange(len(own), device=keys.device)) % length
        rings[c, slots[-length:]] = own[-length:]
        pointer[c] = (pointer[c] + len(own)) % length
        count[c] = (count[c] + len(own)).clamp_max(length)
    return rings, pointer, count


def _ours(impl: str, problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    return problem.rings, *queue_write(*problem, impl=impl)


CASES = tuple(
    Case(
        f"queue_write, {number:,} keys of {DIM} into {CLASSES} rings of {LENGTH:,}",
        partial(step, number=number),
        {"plain": plain, "reference": partial(_ours, "reference"), "triton": partial(_ours, "triton")},
        tolerance=0.0,
        # Each key in and out, and its class.
        moved_bytes=float(number * (2 * 4 * DIM + 8)),
    )
    # Ten pixels a class and image, of a batch of 8 and of 64.
    for number in (8 * 10 * CLASSES, 64 * 10 * CLASSES)
)

if __name__ == "__main__":
    sys.exit(main([Path(__file__)]))
