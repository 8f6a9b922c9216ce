"""Semi-hard sampling from the paper's whole Cityscapes bank: 950 anchors, 1,024 positives and 2,048 negatives each.

python shared/benchmarks/ops/top_fraction.py [--device cpu|cuda] [--json FILE]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.losses import KeyTable, select_pairs
from contrastbench.core.ops.sampled_infonce import sampled_infonce
from contrastbench.core.ops.top_fraction import Draw, class_seeds, top_fraction
from contrastbench.core.ops.top_fraction.parts import part_size
from contrastbench.core.ops.top_fraction.priorities import priorities, seed_words
from contrastbench.core.samplers import SemiHardPairs
from contrastbench.core.testing.bench import Case, runs_anywhere
from contrastbench.core.testing.bench.command import main

# 50 anchors a class; N = 2,975 images of Cityscapes: a region entry and ten queued pixels for each, in each class.
CLASSES, ANCHORS, KEYS, DIM, TEMPERATURE = 19, 50, 11 * 2975, 256, 0.1
POSITIVES, NEGATIVES = 1024, 2048


class Problem(NamedTuple):
    """Anchors ``[A, D]``, their classes, a bank by class ``[M, D]`` with its classes, and how many are drawn."""

    anchors: Tensor
    labels: Tensor
    table: KeyTable
    positives: int
    negatives: int


def bank(device: str, small: bool, *, drawn: bool = True) -> Problem:
    """Draw anchors and a bank, one slot in 16 of it empty in the small problem.

    Where the small problem is drawn from, it has whole numbers, whose products are exact in any order and often equal,
    so that all must choose the same keys. Without ``drawn`` it takes all there are to draw from, so that formulations
    that draw otherwise can be compared.
    """
    torch.manual_seed(0)
    classes, anchors, keys = (5, 4, 600) if small else (CLASSES, ANCHORS, KEYS)
    table = torch.empty(classes * keys, DIM, device=device)
    for part in table.split(1 << 15):  # or setting up would set the peak
        part.copy_(_embeddings(len(part), device, small and drawn))
    labels = torch.arange(classes, device=device)
    key_labels = labels.repeat_interleave(keys)
    counts = (POSITIVES, NEGATIVES)
    if small:
        key_labels[::16] = -1
        counts = (24, 48) if drawn else counts
    learning = _embeddings(classes * anchors, device, small and drawn).requires_grad_()
    return Problem(learning, labels.repeat_interleave(anchors), KeyTable(table, key_labels), *counts)


all_of_them = partial(bank, drawn=False)


def _embeddings(rows: int, device: str, whole: bool) -> Tensor:
    if whole:
        return torch.randint(-2, 3, (rows, DIM), device=device).float()
    return F.normalize(torch.randn(rows, DIM, device=device), dim=1)


def _draws(problem: Problem) -> tuple[Draw, Draw]:
    return Draw(problem.positives, own=True, farthest=True), Draw(problem.negatives, own=False, farthest=False)


@torch.no_grad()
def plain(problem: Problem) -> list[Tensor]:
    """Class by class: all similarities, a stable sort, and the largest priorities of its first tenth."""
    words = seed_words(class_seeds(problem.labels, (0, 0), 2))
    keys, key_labels = problem.table
    out = [torch.full((len(problem.labels), d.k), -1, device=keys.device) for d in _draws(problem)]
    for c in problem.labels.unique().tolist():
        rows = torch.nonzero(problem.labels == c).squeeze(1)
        similarity = problem.anchors[rows] @ keys.T
        for s, draw in enumerate(_draws(problem)):
            open_ = torch.nonzero(key_labels == c if draw.own else (key_labels >= 0) & (key_labels != c)).squeeze(1)
            hardness = similarity[:, open_] * (-1 if draw.farthest else 1)
            size = int(part_size(torch.tensor(len(open_)), 0.1))
            part = open_[hardness.sort(dim=1, descending=True, stable=True).indices[:, :size]]
            priority = priorities(words[rows[0], s], torch.arange(len(keys), device=keys.device))[part]
            first = priority.topk(min(draw.k, size), dim=1).indices
            out[s][rows, : first.shape[1]] = part.gather(1, first).sort(dim=1).values
    return out


def _drawn(impl: str, problem: Problem) -> tuple[Tensor, ...]:
    anchors, labels, (keys, key_labels), _, _ = problem
    seeds = class_seeds(labels, (0, 0), 2)
    return top_fraction(anchors, labels, [keys], [key_labels], _draws(problem), seeds, impl=impl)


def _step(impl: str, problem: Problem) -> tuple[Tensor, Tensor]:
    anchors, labels, table, positives, negatives = problem
    with torch.no_grad():
        selection = select_pairs(anchors, labels, [table], SemiHardPairs(), positives, negatives, (0, 0), impl=impl)
    loss = sampled_infonce(anchors, [table.keys], *selection, TEMPERATURE)
    return loss, torch.autograd.grad(loss.mean(), anchors)[0]


def _skip(formulation: str, device: str) -> str | None:
    if formulation == "reference":
        return "holds all similarities several times over: 20 GB and more"
    return runs_anywhere(formulation, device)


_ALL_KEYS = CLASSES * KEYS
_SIZE = f"{CLASSES * ANCHORS} x {_ALL_KEYS:,} keys x {DIM}"
_FLOPS = 2.0 * CLASSES * ANCHORS * _ALL_KEYS * DIM
_MOVED = 4.0 * _ALL_KEYS * DIM

CASES = (
    Case(
        f"top_fraction, {_SIZE}, {POSITIVES:,} and {NEGATIVES:,} of a tenth",
        bank,
        {"plain": plain} | {name: partial(_drawn, name) for name in ("reference", "blockwise", "triton")},
        flops=_FLOPS,
        moved_bytes=_MOVED,
        skip=_skip,
    ),
    Case(
        f"semi-hard sampling and its loss, {_SIZE}, forward and backward",
        all_of_them,
        {name: partial(_step, name) for name in ("dense", "blockwise", "triton")},
        flops=_FLOPS + 4.0 * CLASSES * ANCHORS * (POSITIVES + NEGATIVES) * DIM,
        moved_bytes=_MOVED,
    ),
)

if __name__ == "__main__":
    sys.exit(main([Path(__file__)]))
