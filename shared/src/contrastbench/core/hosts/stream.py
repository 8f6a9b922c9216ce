"""The order of samples of a whole run, and randomness that is a function of a sample's place in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from contrastbench.core.distributed import rank, world_size
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.schedule import Schedule

Ticket = tuple[int, int]
"""Place in the stream of samples, and the image that is there."""


class Stream(Sampler[Ticket]):
    """The samples of a whole run in order: epoch after epoch, each in an order of its own.

    Ranks take consecutive parts of each global batch, so that they see together what one rank would.

    Args:
        images: number of images.
        batch_size: of the global batch.
        iterations: batches in the run.
        seed: of the orders.
        rank: this rank.
        world: number of ranks.
    """

    def __init__(self, images: int, batch_size: int, iterations: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.images, self.batch_size, self.iterations, self.seed = images, batch_size, iterations, seed
        self.share = range(batch_size * rank // world, batch_size * (rank + 1) // world)
        self.start = 0

    def __iter__(self) -> Iterator[Ticket]:
        """Yield this rank's tickets from iteration ``start`` on."""
        epoch, order = -1, np.empty(0, np.int64)
        for iteration in range(self.start, self.iterations):
            for place in self.share:
                position = iteration * self.batch_size + place
                if position // self.images != epoch:
                    epoch = position // self.images
                    order = np.random.default_rng((self.seed, epoch)).permutation(self.images)
                yield position, int(order[position % self.images])

    def __len__(self) -> int:
        return (self.iterations - self.start) * len(self.share)


class Seeded(Dataset[Any]):
    """A dataset read by ticket, its augmentations drawn from the seed and the ticket's place alone.

    So a sample is the same whichever worker makes it, and whether or not the run was interrupted before it.

    Args:
        dataset: read by index. Its transforms draw from the global generators of Python and numpy, as
            the frameworks' do; these are left as they were found.
        seed: of the run.
    """

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, ticket: Ticket) -> Any:
        """Return the sample of a ticket."""
        position, index = ticket
        words = np.random.SeedSequence((self.seed, position)).generate_state(4)
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.seed(int(words[0]))
        np.random.seed(words)  # noqa: NPY002
        try:
            return self.dataset[index]
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def one_thread(_worker: int) -> None:
    """Keep a loading process to one core. Given to ``DataLoader`` as ``worker_init_fn``."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def batches(
    samples: Dataset[Any],
    schedule: Schedule,
    seed: int,
    collate: Callable[[list[Any]], Any],
    device: torch.device,
    start: int = 0,
) -> DataLoader[Any]:
    """Return this rank's part of the batches of a run.

    Args:
        samples: read by index, as of :class:`Seeded`; it has a length.
        schedule: of the run.
        seed: of order and augmentation.
        collate: makes a batch of a list of samples.
        device: where they go.
        start: the first batch, from 0.

    Raises:
        InputError: the ranks cannot share the batches evenly.
    """
    if schedule.batch_size % world_size():
        raise InputError(f"schedule.batch_size {schedule.batch_size} does not divide by {world_size()} ranks")
    stream = Stream(len(samples), schedule.batch_size, schedule.iterations, seed, rank(), world_size())  # type: ignore[arg-type]
    stream.start = start
    return DataLoader(
        Seeded(samples, seed),
        batch_size=schedule.batch_size // world_size(),
        sampler=stream,
        collate_fn=collate,
        num_workers=schedule.workers,
        worker_init_fn=one_thread,
        pin_memory=device.type == "cuda",
        # The loader draws a seed for its workers, which must not come from the generator the network uses.
        generator=torch.Generator(),
    )
