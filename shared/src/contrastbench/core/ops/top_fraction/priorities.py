"""Who is drawn first: a number for each key that depends on a seed and on the key's index alone."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.draws import generator

_LOW = 0xFFFFFFFF


def class_seeds(labels: Tensor, key: tuple[int, ...], draws: int) -> Tensor:
    """Return seeds that anchors of one class share.

    Args:
        labels: ``[A]`` (int64), classes of the anchors.
        key: numbers that seed the choice, (seed, step) say.
        draws: S, how many draws each anchor makes.

    Returns:
        ``[A, S]`` (int64).
    """
    state = _splitmix(labels + generator(*key).initial_seed())
    return _splitmix(state[:, None] + torch.arange(draws, device=labels.device))


def seed_words(seeds: Tensor) -> Tensor:
    """Return two unrelated words a seed, ``[..., 2]`` (int32), so that seeds may be any numbers, 0, 1, 2 too."""
    return _splitmix(seeds.contiguous())[..., None].view(torch.int32)


def priorities(words: Tensor, index: Tensor) -> Tensor:
    """Return the priorities of keys under a seed: a permutation of the 32-bit numbers that looks random.

    Two rounds of a mixer (the last step of MurmurHash3, Appleby) with a word of the seed before each. All steps can
    be undone, so two keys never share a priority. The K largest of any set are K drawn from it without replacement.

    Args:
        words: ``[..., 2]`` (int32), of :func:`seed_words`.
        index: ``[M]`` (int64), indices of keys below 2^32.

    Returns:
        ``[..., M]`` (int64) in [0, 2^32).
    """
    first, second = (words.long() & _LOW)[..., None, :].unbind(-1)
    return _mix(_mix(index ^ first) ^ second)


def _mix(x: Tensor) -> Tensor:
    # Products pass 2^63 and wrap; the 32 bits that are kept are right.
    x = x ^ (x >> 16)
    x = (x * 0x85EBCA6B) & _LOW
    x = x ^ (x >> 13)
    x = (x * 0xC2B2AE35) & _LOW
    return x ^ (x >> 16)


def _splitmix(state: Tensor) -> Tensor:
    """Return one round of splitmix64 (Steele et al., 2014); the constants are its own, as signed numbers."""
    state = state + (0x9E3779B97F4A7C15 - (1 << 64))
    state = (state ^ _shifted(state, 30)) * (0xBF58476D1CE4E5B9 - (1 << 64))
    state = (state ^ _shifted(state, 27)) * (0x94D049BB133111EB - (1 << 64))
    return state ^ _shifted(state, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)
