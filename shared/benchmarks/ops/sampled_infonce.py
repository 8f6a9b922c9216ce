"""Sampled InfoNCE at the paper's size: 950 anchors, 1,024 positives and 2,048 negatives each, from the whole bank.

python shared/benchmarks/ops/sampled_infonce.py [--device cpu|cuda] [--json FILE]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.ops.sampled_infonce import sampled_infonce
from contrastbench.core.testing.bench import Case
from contrastbench.core.testing.bench.command import main

# 50 anchors of each of 19 classes; N = 2,975 images of Cityscapes: a region entry and ten queued pixels each, a class.
ANCHORS, POSITIVES, NEGATIVES, KEYS, DIM, TEMPERATURE = 950, 1024, 2048, 19 * 11 * 2975, 256, 0.1


class Problem(NamedTuple):
    """Anchors ``[A, D]``, tables of keys, and indices ``[A, P]`` and ``[A, K]``."""

    anchors: Tensor
    keys: list[Tensor]
    positives: Tensor
    negatives: Tensor


def _unit(rows: int, device: str) -> Tensor:
    return F.normalize(torch.randn(rows, DIM, device=device), dim=1)


def bank(device: str, small: bool, *, dtype: torch.dtype = torch.float32, batch: bool = False) -> Problem:
    """Draw anchors, a bank that is frozen and, if asked for, the batch's own embeddings, which learn, before it."""
    torch.manual_seed(0)
    amount, positives, negatives, held = (37, 48, 80, 3001) if small else (ANCHORS, POSITIVES, NEGATIVES, KEYS)
    anchors = _unit(amount, device).requires_grad_()
    table = torch.empty(held, DIM, device=device, dtype=dtype)
    for part in table.split(1 << 15):  # or setting up would set the peak
        part.copy_(_unit(len(part), device))
    tables = [_unit(amount, device).requires_grad_(), table] if batch else [table]
    everything = sum(map(len, tables))
    draw = partial(torch.randint, everything, device=device)
    if not batch:
        return Problem(anchors, tables, draw((amount, positives)), draw((amount, negatives)))
    # A quarter of the pairs are with the batch.
    index = draw((amount, positives + negatives))
    index = torch.where(torch.rand(index.shape, device=device) < 0.25, index % amount, index)
    return Problem(anchors, tables, *index.split([positives, negatives], 1))


half_bank = partial(bank, dtype=torch.float16)
batch_and_bank = partial(bank, batch=True)


def _with_gradients(loss: Tensor, problem: Problem) -> tuple[Tensor, ...]:
    learning = [table for table in problem.keys if table.requires_grad]
    return (loss, *torch.autograd.grad(loss.sum(), (problem.anchors, *learning)))


def plain(problem: Problem) -> tuple[Tensor, ...]:
    """Gather the keys of every anchor, autograd: how one writes Eq. 3 without thinking of memory."""
    anchors, keys, positives, negatives = problem
    table = keys[0] if len(keys) == 1 else torch.cat(keys)
    similarity = [
        torch.einsum("ad,akd->ak", anchors, table[index].float()) / TEMPERATURE for index in (positives, negatives)
    ]
    loss = F.softplus(similarity[1].logsumexp(1, keepdim=True) - similarity[0]).mean(1)
    return _with_gradients(loss, problem)


def _ours(impl: str, problem: Problem) -> tuple[Tensor, ...]:
    anchors, keys, positives, negatives = problem
    return _with_gradients(sampled_infonce(anchors, keys, positives, negatives, TEMPERATURE, impl=impl), problem)


CALLS = {"plain": plain, "chunked": partial(_ours, "chunked"), "triton": partial(_ours, "triton")}

_SIZE = f"{ANCHORS} x ({POSITIVES:,} + {NEGATIVES:,}) of {KEYS:,} keys x {DIM}, forward and backward"
_PAIRS = ANCHORS * (POSITIVES + NEGATIVES)
# Keys that are drawn at all, each read once; the indices.
_DRAWN = KEYS * -math.expm1(-_PAIRS / KEYS)


def _frozen(how: str, setup: Callable[[str, bool], Problem], size: int) -> Case:
    return Case(
        f"sampled_infonce, {_SIZE}{how}",
        setup,
        CALLS,
        flops=4.0 * _PAIRS * DIM,
        moved_bytes=_DRAWN * DIM * size + 8 * _PAIRS,
        note=f"Each key is drawn {_PAIRS / KEYS:.1f} times: without a cache, {_PAIRS * DIM * size / 1e9:.1f} GB.",
    )


CASES = (
    _frozen("", bank, 4),
    _frozen(", float16 bank", half_bank, 2),
    Case(
        f"sampled_infonce, {_SIZE}, a quarter with the batch, which learns",
        batch_and_bank,
        CALLS,
        flops=4.5 * _PAIRS * DIM,
        moved_bytes=_DRAWN * DIM * 4 + 8 * _PAIRS,
    ),
)

if __name__ == "__main__":
    sys.exit(main([Path(__file__)]))
