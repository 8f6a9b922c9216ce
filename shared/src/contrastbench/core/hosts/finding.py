"""What a detector finds in the images of a data set, shared out over the ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset, Subset

from contrastbench.core.distributed import rank, world_size
from contrastbench.core.hosts.stream import one_thread

Results = list[dict[str, Any]]
"""COCO results dicts."""


def find(
    dataset: Dataset[Any],
    count: int,
    batch_size: int,
    workers: int,
    of_batch: Callable[[Sequence[int], list[Any]], list[Results]],
) -> Results:
    """Return the results on all images, in their order; each rank finds those of a part.

    Args:
        dataset: the images.
        count: how many there are.
        batch_size: images at once.
        workers: loading processes.
        of_batch: called with the places of a batch and its samples, returns the results on each.

    Returns:
        The same on each rank.
    """
    places = range(rank(), count, world_size())
    loader: DataLoader[Any] = DataLoader(
        Subset(dataset, places),
        batch_size,
        collate_fn=list,
        num_workers=workers,
        worker_init_fn=one_thread,
        generator=torch.Generator(),
    )
    found: list[Results] = []
    for batch in loader:
        found += of_batch(places[len(found) : len(found) + len(batch)], batch)
    parts: list[Any] = [found]
    if world_size() > 1:
        parts = [None] * world_size()
        dist.all_gather_object(parts, found)
    return [result for place in range(count) for result in parts[place % len(parts)][place // len(parts)]]
