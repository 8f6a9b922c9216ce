"""How long it takes to draw triplets: from run lengths or dense masks to the three losses' places.

    python packages/longtail/benchmarks/triplets.py [--threads N] [--json FILE]

50 proposals an image, 4 images. A loop over the pairs, as one would write it down from the paper, is timed beside it,
and must find the same candidates.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from contrastbench.core.data.coco import encode
from contrastbench.core.testing.bench import Case
from contrastbench.core.testing.bench.command import main
from contrastbench.longtail import RELEASED, TripletSampler, mask_intersections, rle_intersections

HEIGHT, WIDTH, PROPOSALS, IMAGES = 480, 640, 50, 4


def discs(count: int, seed: int) -> Tensor:
    """Return discs of all sizes ``[count, 480, 640]`` (bool), many of them overlapping, some within another."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, 1, 1, generator=generator) * torch.tensor([HEIGHT, WIDTH])[:, None, None]
    radius = 10 + 120 * torch.rand(count, 1, 1, generator=generator)
    grid = torch.stack(torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij"))
    return (grid - centre).square().sum(1) < radius**2


def images(device: str, small: bool) -> tuple[list[Tensor], list[Any]]:
    """Return the proposals of each image, as dense masks and as run lengths."""
    masks = [discs(12 if small else PROPOSALS, seed) for seed in range(2 if small else IMAGES)]
    return masks, [[encode(mask.numpy()) for mask in stack] for stack in masks]


def dense(inputs: tuple[list[Tensor], list[Any]]) -> Sequence[Tensor]:
    """Return the pixels that each two proposals of an image share, by a product of dense masks."""
    return [mask_intersections(stack) for stack in inputs[0]]


def run_lengths(inputs: tuple[list[Tensor], list[Any]]) -> Sequence[Tensor]:
    """Return the same from run lengths."""
    return [rle_intersections(stack) for stack in inputs[1]]


def loop(inputs: tuple[list[Tensor], list[Any]]) -> list[int]:
    """Return how many ordered pairs overlap enough for a positive, and how many are parent and child."""
    alike = nested = 0
    for masks in inputs[0]:
        for i, anchor in enumerate(masks):
            for j, other in enumerate(masks):
                if i == j:
                    continue
                common, area, size = (anchor & other).sum(), other.sum(), anchor.sum()
                alike += bool(common / (area + size - common) > 0.4)
                nested += bool(common / area >= 0.95 and area <= 0.5 * size)
    return [alike, nested]


def sampled(inputs: tuple[list[Tensor], list[Any]]) -> list[int]:
    """Return the same numbers by the sampler, when it takes all there are."""
    every = TripletSampler(positives=None, negatives=1, children=None, negatives_from="batch")
    drawn = every(run_lengths(inputs), range(len(inputs[1])), 0)
    return [len(drawn.anchor), len(drawn.parent)]


def intersections(device: str, small: bool) -> Sequence[Tensor]:
    """Return what the sampler starts from."""
    return run_lengths(images(device, small))


def drawn_as_paper(pairs: Sequence[Tensor]) -> list[Tensor]:
    """Draw the triplets of a step as the paper does."""
    return list(TripletSampler()(pairs, range(len(pairs)), 0))


def drawn_as_released(pairs: Sequence[Tensor]) -> list[Tensor]:
    """Draw the triplets of a step as the released code does."""
    return list(TripletSampler(**RELEASED["triplets"])(pairs, range(len(pairs)), 0))


SIZE = f"{IMAGES} images with {PROPOSALS} proposals of {HEIGHT} x {WIDTH}"
CASES = (
    Case(
        f"mask intersections, {SIZE}",
        images,
        {"dense masks": dense, "run lengths": run_lengths},
        devices=("cpu",),
    ),
    Case(
        f"candidates of the triplet losses, {SIZE}",
        images,
        {"loop over pairs of dense masks": loop, "run lengths and TripletSampler": sampled},
        devices=("cpu",),
    ),
    Case(f"drawing triplets, paper, {SIZE}", intersections, {"TripletSampler": drawn_as_paper}, devices=("cpu",)),
    Case(f"drawing triplets, released, {SIZE}", intersections, {"TripletSampler": drawn_as_released}, devices=("cpu",)),
)

if __name__ == "__main__":
    sys.exit(main([__file__]))
