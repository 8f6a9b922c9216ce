"""Class means of 8 feature maps of 128 x 256 pixels of 256: by image, and over the whole batch.

python shared/benchmarks/ops/class_means.py [--device cpu|cuda] [--json FILE]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.ops.class_means import class_means
from contrastbench.core.testing.bench import Case
from contrastbench.core.testing.bench.command import main

DIM = 256
# Cityscapes crops of 512 x 1024 at stride 4.
FULL, SMALL = (8, 128, 256), (2, 19, 23)


class Problem(NamedTuple):
    """Embeddings ``[B, H, W, D]``, labels ``[B, H, W]`` in regions, a weight ``[B, C, D]``; or a batch as one image."""

    embeddings: Tensor
    labels: Tensor
    weight: Tensor


def maps(device: str, small: bool, *, classes: int, joint: bool) -> Problem:
    """Draw embeddings of unit length and smooth regions, a tenth of the pixels ignored."""
    torch.manual_seed(0)
    batch, height, width = SMALL if small else FULL
    scores = F.interpolate(torch.randn(batch, classes, 8, 16, device=device), (height, width), mode="bicubic")
    labels = scores.argmax(1).masked_fill(torch.rand(batch, height, width, device=device) < 0.1, 255)
    embeddings = F.normalize(torch.randn(batch, height, width, DIM, device=device), dim=-1)
    if joint:
        embeddings, labels = embeddings.flatten(0, 2), labels.flatten()
    weight = torch.randn(*([] if joint else [batch]), classes, DIM, device=device)
    return Problem(embeddings.requires_grad_(), labels, weight)


def _with_gradient(means: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    return means.detach(), *torch.autograd.grad((means * problem.weight).sum(), problem.embeddings)


def plain(problem: Problem) -> tuple[Tensor, Tensor]:
    """A mask and a mean for each class: how one writes it without thinking of the passes over memory."""
    embeddings, labels, weight = problem
    rows = embeddings.reshape(-1, labels[0].numel() if labels.ndim > 1 else len(labels), DIM)
    own = labels.reshape(rows.shape[:2])
    means = []
    for c in range(weight.shape[-2]):
        member = (own == c)[..., None]
        means.append((rows * member).sum(1) / member.sum(1).clamp_min(1))
    return _with_gradient(torch.stack(means, 1).view_as(weight), problem)


def _ours(impl: str, problem: Problem) -> tuple[Tensor, Tensor]:
    means, _ = class_means(problem.embeddings, problem.labels, problem.weight.shape[-2], impl=impl)
    return _with_gradient(means, problem)


def _case(classes: int, joint: bool) -> Case:
    pixels = FULL[0] * FULL[1] * FULL[2]
    return Case(
        f"class_means, {'262,144' if joint else '8 x 128 x 256'} x {DIM}, {classes} classes, forward and backward",
        partial(maps, classes=classes, joint=joint),
        {"plain": plain, "reference": partial(_ours, "reference"), "triton": partial(_ours, "triton")},
        tolerance=1e-5,
        # An addition an element; the embeddings in, their gradient out, the labels both times.
        flops=float(pixels * DIM),
        moved_bytes=float(pixels * (2 * 4 * DIM + 2 * 8)),
    )


CASES = (_case(19, joint=False), _case(19, joint=True), _case(171, joint=False))

if __name__ == "__main__":
    sys.exit(main([Path(__file__)]))
