"""Random numbers that belong to an image, not to the process that happens to hold it.

Sampling by the smallest of independent uniform draws is sampling at random without replacement. With the
draws a function of (seed, step, image), a batch split over ranks samples what the joint batch would.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = (1 << 64) - 1


def generator(*key: int) -> torch.Generator:
    """Return a CPU generator seeded by a hash of the key, so that neighbouring keys are unrelated."""
    state = 0x9E3779B97F4A7C15
    for part in key:
        # splitmix64 (Steele et al., 2014), one round a part
        state = (state + (part & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    # manual_seed takes any 64 bits, but keeps only 63 of them on some versions
    return torch.Generator().manual_seed(state >> 1)


def image_draws(shape: tuple[int, ...], seed: int, step: int, image_index: Tensor) -> Tensor:
    """Return uniform draws ``[B, *shape]`` in [0, 1), each image's from its own generator.

    Args:
        shape: the shape for one image.
        seed: the run's seed.
        step: the training step, so that an image seen again draws anew.
        image_index: ``[B]`` (int64), each image's place in the training set.
    """
    draws = [torch.rand(shape, generator=generator(seed, step, int(i))) for i in image_index.tolist()]
    return (torch.stack(draws) if draws else torch.empty(0, *shape)).to(image_index.device)
