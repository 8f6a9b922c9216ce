"""The public function: check, choose an implementation, call it.

Shapes: C classes, T slots in the ring of each, n keys of size D.
"""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.choice import Objection, choose, fits, needs_triton

_IMPLEMENTATIONS: dict[str, Objection] = {"triton": needs_triton, "reference": fits}


def _check(rings: Tensor, pointer: Tensor, count: Tensor, keys: Tensor, classes: Tensor) -> None:
    if rings.ndim != 3 or not rings.shape[1] or pointer.shape != rings.shape[:1] or count.shape != rings.shape[:1]:
        raise InputError(
            "queue_write: rings are [C, T, D] with T of 1 or more, pointer and count [C]; "
            f"got {list(rings.shape)}, {list(pointer.shape)} and {list(count.shape)}"
        )
    if keys.ndim != 2 or keys.shape[1] != rings.shape[2] or classes.shape != keys.shape[:1]:
        raise InputError(
            f"queue_write: keys are [n, {rings.shape[2]}] and classes [n]; "
            f"got {list(keys.shape)} and {list(classes.shape)}"
        )
    if rings.requires_grad:
        raise InputError("queue_write: rings carry no gradient; detach them")


@torch.no_grad()
def queue_write(
    rings: Tensor, pointer: Tensor, count: Tensor, keys: Tensor, classes: Tensor, *, impl: str | None = None
) -> tuple[Tensor, Tensor]:
    """Append keys, each to the ring of its class, in the order given; the oldest make room.

    Args:
        rings: ``[C, T, D]`` (float), written in place; keys are brought to its type.
        pointer: ``[C]`` (int64), the slot that the class's next key takes.
        count: ``[C]`` (int64), slots written so far, at most T.
        keys: ``[n, D]`` (float), without gradient: what is remembered is detached.
        classes: ``[n]`` (int64); a key of a class outside 0..C-1 is left out. Of more than T of a class the last stay.
        impl: ``"reference"`` (sorts the keys by class), ``"triton"`` (one kernel on a GPU, which waits for nothing), or
            None for the best that fits. All write the same bits.

    Returns:
        the new pointer and count, each ``[C]`` (int64); those given are left as they were.

    Raises:
        InputError: shapes that do not fit; an unknown implementation, or one that cannot be had.
    """
    _check(rings, pointer, count, keys, classes)
    module = choose(__package__, impl, _IMPLEMENTATIONS, rings, pointer, count, keys, classes)
    written: tuple[Tensor, Tensor] = module.queue_write(rings, pointer, count, keys, classes)
    return written
