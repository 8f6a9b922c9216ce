"""Supervised InfoNCE against a bank of 19 classes: 1,024 anchors, 190,000 keys and the paper's whole bank of 621,775.

python shared/benchmarks/ops/class_infonce.py [--device cpu|cuda] [--json FILE]
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.ops.class_infonce import negative_logsumexp, positive_terms
from contrastbench.core.testing.bench import Case, runs_anywhere
from contrastbench.core.testing.bench.command import main

ANCHORS, CLASSES, DIM, TEMPERATURE = 1024, 19, 256, 0.1
# 10,000 pixels a class; N = 2,975 images of Cityscapes: a region entry and ten queued pixels for each, in each class.
QUEUE, WHOLE = 10_000, 11 * 2975


class Problem(NamedTuple):
    """Anchors ``[A, D]``, labels ``[A]`` and a bank ``[C, M, D]``."""

    anchors: Tensor
    labels: Tensor
    bank: Tensor


def bank(device: str, small: bool, *, per_class: int, dtype: torch.dtype = torch.float32) -> Problem:
    """Draw anchors and a bank of unit vectors."""
    torch.manual_seed(0)
    anchors, held = (67, 203) if small else (ANCHORS, per_class)
    keys = torch.empty(CLASSES, held, DIM, device=device, dtype=dtype)
    for block in keys:  # one class at a time, or setting up would set the peak
        block.copy_(F.normalize(torch.randn(held, DIM, device=device), dim=1))
    labels = torch.randint(CLASSES, (anchors,), device=device)
    return Problem(F.normalize(torch.randn(anchors, DIM, device=device), dim=1).requires_grad_(), labels, keys)


def _loss_and_gradient(terms: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    loss = (terms / problem.bank.shape[1]).mean()
    return loss.detach(), *torch.autograd.grad(loss, problem.anchors)


def plain(problem: Problem) -> tuple[Tensor, Tensor]:
    """All similarities at once, autograd: how one writes Eq. 3 without thinking of memory."""
    anchors, labels, keys = problem
    key_labels = torch.arange(CLASSES, device=labels.device).repeat_interleave(keys.shape[1])
    similarity = (anchors.to(keys) @ keys.flatten(0, 1).T).float() / TEMPERATURE
    positive = labels[:, None] == key_labels
    log_negatives = similarity.masked_fill(positive, -torch.inf).logsumexp(1)
    terms = F.softplus(log_negatives[:, None] - similarity) * positive
    return _loss_and_gradient(terms.sum(1), problem)


def _ours(impl: str, problem: Problem) -> tuple[Tensor, Tensor]:
    anchors, labels, keys = problem
    blocks = list(keys)
    log_negatives = negative_logsumexp(anchors, labels, blocks, TEMPERATURE, impl=impl)
    terms = positive_terms(anchors, labels, blocks, log_negatives, TEMPERATURE, impl=impl)
    return _loss_and_gradient(terms, problem)


def triton_tf32x3(problem: Problem) -> tuple[Tensor, Tensor]:
    """The kernels with float32 products from three of TF32, as ``set_float32_matmul_precision("high")`` chooses."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return _ours("triton", problem)
    finally:
        torch.set_float32_matmul_precision(before)


def _skip(formulation: str, device: str, *, per_class: int) -> str | None:
    if formulation == "triton, tf32x3" and device == "cpu":
        return runs_anywhere("triton", device)
    # Measured on a CPU: ten times the matrix of similarities.
    needed = 10 * 4 * ANCHORS * CLASSES * per_class
    held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if formulation == "plain" and device == "cpu" and held < 1.25 * needed:
        return f"needs {needed / 1e9:.0f} GB of memory"
    return runs_anywhere(formulation, device)


CALLS = {"plain": plain, "blockwise": partial(_ours, "blockwise"), "triton": partial(_ours, "triton")}


def _case(per_class: int, dtype: torch.dtype) -> Case:
    whole = dtype == torch.float32
    keys = CLASSES * per_class
    return Case(
        f"class_infonce, {ANCHORS:,} x {keys:,} x {DIM}, forward and backward" + ("" if whole else ", bfloat16 bank"),
        partial(bank, per_class=per_class, dtype=dtype),
        {**CALLS, "triton, tf32x3": triton_tf32x3} if whole else CALLS,
        # Similarities, and the keys weighted by them: each key is a positive or a negative of each anchor.
        flops=2 * 2.0 * ANCHORS * keys * DIM,
        moved_bytes=float(keys * DIM * dtype.itemsize + 2 * 4 * ANCHORS * DIM),
        skip=partial(_skip, per_class=per_class),
        tolerance=1e-5 if whole else 2e-2,
        precision="fp32" if whole else "bf16",
        note="tf32x3 multiplies on tensor cores, whose rate the limit does not count." if whole else "",
    )


CASES = tuple(_case(per_class, dtype) for dtype in (torch.float32, torch.bfloat16) for per_class in (QUEUE, WHOLE))

if __name__ == "__main__":
    sys.exit(main([Path(__file__)]))
