"""How long it takes to draw triplets: from run lengths or dense masks to the three losses' places.

    python packages/longtail/benchmarks/triplets.py [--proposals 50] [--images 4]

All times are CPU milliseconds for one image on one thread, the best of several. A loop over the pairs, as one would
write it down from the paper, is timed beside it, and must find the same candidates.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from contrastbench.core.data.coco import encode
from contrastbench.longtail import RELEASED, TripletSampler, mask_intersections, rle_intersections

HEIGHT, WIDTH = 480, 640


def discs(count: int, seed: int) -> Tensor:
    """Return discs of all sizes ``[count, 480, 640]`` (bool), many of them overlapping, some within another."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, 1, 1, generator=generator) * torch.tensor([HEIGHT, WIDTH])[:, None, None]
    radius = 10 + 120 * torch.rand(count, 1, 1, generator=generator)
    grid = torch.stack(torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij"))
    return (grid - centre).square().sum(1) < radius**2


def loop(masks: Tensor) -> tuple[int, int]:
    """Return how many ordered pairs overlap enough for a positive, and how many are parent and child."""
    alike = nested = 0
    for i, anchor in enumerate(masks):
        for j, other in enumerate(masks):
            if i == j:
                continue
            common, area, size = (anchor & other).sum(), other.sum(), anchor.sum()
            alike += bool(common / (area + size - common) > 0.4)
            nested += bool(common / area >= 0.95 and area <= 0.5 * size)
    return alike, nested


def best(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return CPU milliseconds of the fastest call, and what it gave."""
    seconds, value = [], None
    for _ in range(repeats):
        start = time.process_time()
        value = call()
        seconds.append(time.process_time() - start)
    return 1000 * min(seconds), value


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proposals", type=int, default=50, help="of an image")
    parser.add_argument("--images", type=int, default=4, help="of a batch")
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = arguments.images
    masks = [discs(arguments.proposals, seed) for seed in range(images)]
    rles = [[encode(mask.numpy()) for mask in stack] for stack in masks]

    dense, pairs = best(lambda: [mask_intersections(stack) for stack in masks], 3)
    runs, same = best(lambda: [rle_intersections(stack) for stack in rles], arguments.repeats)
    if not all(map(torch.equal, pairs, same)):
        raise SystemExit("dense masks and run lengths disagree: no speed is worth comparing")
    looped, (alike, nested) = best(lambda: loop(masks[0]), 1)
    every = TripletSampler(positives=None, negatives=1, children=None, negatives_from="batch")(pairs[:1], [0], 0)
    if (len(every.anchor), len(every.parent)) != (alike, nested):
        raise SystemExit(f"the loop finds {alike} and {nested} pairs, not {len(every.anchor)} and {len(every.parent)}")

    table = Table(title=f"{arguments.proposals} proposals of {HEIGHT}x{WIDTH}, torch {torch.__version__}, one thread")
    for column in ("", "ms an image", "triplets an image"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("intersections, from dense masks", f"{dense / images:.2f}", "")
    table.add_row("intersections, from run lengths", f"{runs / images:.2f}", "")
    for name, options in (("paper", {}), ("released", RELEASED["triplets"])):
        sampler = TripletSampler(**options)
        took, drawn = best(lambda sampler=sampler: sampler(pairs, range(images), 0), arguments.repeats)
        sizes = ", ".join(f"{len(places) / images:.0f}" for places in (drawn.mask, drawn.anchor, drawn.parent))
        table.add_row(f"drawing, {name}", f"{took / images:.2f}", sizes)
    table.add_row("a loop over the pairs of dense masks", f"{looped:.0f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
