"""The dense contrastive loss: the plain formulations beside ours.

    python packages/dcl/benchmarks/loss.py [--device cpu|cuda] [--threads N] [--json FILE]

128 RoIs of 256x28x28, forward and backward to features and projection.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.testing.bench import Case
from contrastbench.core.testing.bench.command import main
from contrastbench.dcl import DenseContrast
from contrastbench.dcl.sampling import roi_draws

ROIS, CHANNELS, SIDE, IMAGES = 128, 256, 28, 2


class Problem(NamedTuple):
    """An objective and the RoIs of one step."""

    objective: DenseContrast
    features: Tensor
    masks: Tensor
    classes: Tensor
    images: Tensor


def problem(device: str, small: bool) -> Problem:
    """Return RoIs of two images; each mask is a disc of its own size and place."""
    rois, channels = (12, 16) if small else (ROIS, CHANNELS)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    centre = torch.rand(rois, 2, 1, 1, generator=generator) * SIDE
    radius = (0.15 + 0.45 * torch.rand(rois, 1, 1, generator=generator)) * SIDE
    grid = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij"))
    masks = ((grid - centre).norm(dim=1) < radius).to(device)
    features = torch.randn(rois, channels, SIDE, SIDE, generator=generator).relu().to(device).requires_grad_()
    images = (torch.arange(rois) // (rois // IMAGES)).to(device)
    return Problem(DenseContrast(channels).to(device), features, masks, torch.zeros_like(images), images)


def _result(problem: Problem, loss: Tensor) -> list[Tensor]:
    return [loss, *torch.autograd.grad(loss, [problem.features, *problem.objective.parameters()])]


def ours(problem: Problem) -> list[Tensor]:
    """All RoIs at once; the sampled pixels are projected."""
    problem.objective.step.zero_()
    return _result(problem, problem.objective(*problem[1:])["loss_dcl"])


def _plain(problem: Problem, split: Callable[[Tensor], Any]) -> list[Tensor]:
    """Project every pixel, then go from RoI to RoI, as the paper describes it; with the samples that ours takes."""
    objective, features, masks, _, images = problem
    first, _, second = objective.projection.layers
    k = objective.samples
    draws = roi_draws(images, 1 + 3 * k, objective.seed, 0)[:, 1:].view(-1, 3, k)
    hidden = F.conv2d(features, first.weight[:, :, None, None], first.bias).relu()
    projected = F.normalize(F.conv2d(hidden, second.weight[:, :, None, None], second.bias), dim=1)
    losses = []
    for embeddings, mask, (u, v, w) in zip(split(projected), masks, draws, strict=True):
        inside, outside = mask.flatten().nonzero()[:, 0], (~mask).flatten().nonzero()[:, 0]
        if min(len(inside), len(outside)) < k:
            continue
        pixels = embeddings.flatten(1)
        anchors = pixels[:, inside[(u * len(inside)).long()]]
        positives = pixels[:, inside[(v * len(inside)).long()]]
        negatives = pixels[:, outside[(w * len(outside)).long()]]
        positive = anchors.T @ positives / objective.temperature
        negative = anchors.T @ negatives / objective.temperature
        losses.append(F.softplus(negative.logsumexp(1, keepdim=True) - positive).mean())
    return _result(problem, torch.stack(losses).mean() * objective.weight)


def plain(problem: Problem) -> list[Tensor]:
    """RoIs taken as ``projected[i]``: each has a gradient of the whole tensor's size."""
    return _plain(problem, lambda projected: [projected[i] for i in range(len(projected))])


def plain_unbound(problem: Problem) -> list[Tensor]:
    """The same with RoIs taken by one ``unbind``, which avoids that."""
    return _plain(problem, lambda projected: projected.unbind(0))


CASES = (
    Case(
        "dense contrastive loss, 128 RoIs of 256 x 28 x 28, forward and backward",
        problem,
        {"every pixel, projected[i]": plain, "every pixel, unbind": plain_unbound, "DenseContrast": ours},
        # Two layers on 3 K pixels a RoI, their gradients by weights and inputs; K x K similarities twice, likewise.
        flops=3 * 2 * ROIS * (2 * 3 * 32 * CHANNELS**2 + 2 * 32 * 32 * CHANNELS),
        # The sampled pixels are read; a gradient of all features is written.
        moved_bytes=4 * ROIS * CHANNELS * (3 * 32 + SIDE * SIDE),
    ),
)

if __name__ == "__main__":
    sys.exit(main([__file__]))
