"""How a kernel is told where the keys of each class lie, and which of them each of its programs takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

# Keys of other types are converted; these are read as they lie.
KEY_TYPES = (torch.float16, torch.bfloat16, torch.float32)


class Blocks(NamedTuple):
    """Blocks of keys, wherever they lie, as distances from one pointer.

    Attributes:
        base: the first block that is not empty; a kernel gets its pointer. The other blocks have to outlive the launch.
        table: four numbers a class: distance from ``base`` and stride between rows (in elements), rows, and the tiles
            of all classes before it.
        tiles: of all classes, each class beginning a new one.
        aligned: whether every row lies at a multiple of 16 elements from ``base``.
    """

    base: Tensor
    table: list[int]
    tiles: int
    aligned: bool


def readable(keys: Sequence[Tensor]) -> list[Tensor]:
    """Return blocks that a kernel can read: of one of its types, all of the same, each row contiguous.

    Nothing is copied but a block that is not so; blocks of several types become float32.
    """
    types = {k.dtype for k in keys if len(k)}
    dtype = types.pop() if len(types) == 1 else torch.float32
    dtype = dtype if dtype in KEY_TYPES else torch.float32
    return [k if k.stride(1) == 1 else k.contiguous() for k in (k.to(dtype) for k in keys)]


def locate(keys: Sequence[Tensor], tile: int) -> Blocks:
    """Describe blocks of keys where they lie.

    Args:
        keys: for each class ``[M_c, D]``, as :func:`readable` returns them.
        tile: keys in a tile.
    """
    base = next((k for k in keys if len(k)), keys[0])
    tiles = [-(-len(k) // tile) for k in keys]
    before = [0, *accumulate(tiles)]
    table: list[int] = []
    for k, first_tile in zip(keys, before[:-1], strict=True):
        distance = (k.data_ptr() - base.data_ptr()) // k.element_size() if len(k) else 0
        table += [distance, k.stride(0) if len(k) else 0, len(k), first_tile]
    aligned = all(table[i] % 16 == 0 and table[i + 1] % 16 == 0 for i in range(0, len(table), 4))
    return Blocks(base, table, before[-1], aligned)


def spans(table: Sequence[int], tiles: int, parts: int) -> list[int]:
    """Share the tiles of all classes out in order and evenly.

    Args:
        table: of :class:`Blocks`.
        tiles: of all classes.
        parts: how many spans, at least one.

    Returns:
        four numbers a span: its tiles from .. to (exclusive), and the classes from .. to (exclusive) they belong to.
    """
    first_tiles = [*table[3::4], tiles]
    classes = len(first_tiles) - 1
    out: list[int] = []
    first = 0
    for part in range(parts):
        start, stop = part * tiles // parts, (part + 1) * tiles // parts
        while first < classes and first_tiles[first + 1] <= start:
            first += 1
        last = first
        while last < classes and first_tiles[last] < stop:
            last += 1
        out += [start, stop, first, last]
    return out
