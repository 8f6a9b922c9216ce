"""The pixel queue: the latest keys of each class, first in, first out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrastbench.core.errors import InputError
from contrastbench.core.ops.queue_write import queue_write


class PixelQueue(nn.Module):
    """A ring of ``length`` keys for each class (Wang et al., ICCV 2021, section 3.2: T pixels a class).

    Args:
        num_classes: |C|.
        length: T, keys remembered per class.
        dim: D, size of a key.

    Attributes:
        keys: ``[C, T, D]`` (float32); a slot not yet written holds zeros and takes part in nothing.
        count: ``[C]`` (int64), slots written so far, at most T.
        pointer: ``[C]`` (int64), the slot that the class's next key takes.
    """

    keys: Tensor
    count: Tensor
    pointer: Tensor

    def __init__(self, num_classes: int, length: int, dim: int) -> None:
        super().__init__()
        if min(num_classes, length, dim) < 1:
            raise InputError(
                f"a pixel queue needs at least one class, slot and dimension; got {num_classes}, {length} and {dim}"
            )
        self.register_buffer("keys", torch.zeros(num_classes, length, dim))
        self.register_buffer("count", torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros(num_classes, dtype=torch.int64))

    @property
    def held(self) -> Tensor:
        """``[C, T]`` (bool), which slots have been written."""
        return torch.arange(self.keys.shape[1], device=self.keys.device) < self.count[:, None]

    @torch.no_grad()
    def enqueue(self, keys: Tensor, classes: Tensor) -> None:
        """Append keys, each to its class, in the order given.

        Args:
            keys: ``[n, D]`` (float).
            classes: ``[n]`` (int64); a key of a class outside 0..C-1 is left out.
        """
        self.pointer, self.count = queue_write(self.keys, self.pointer, self.count, keys, classes)
