"""The resolution at which a run looks at images, as ``data.size`` gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contrastbench.core.errors import InputError

Size = tuple[int, int]
"""Height and width in pixels."""


def read_size(data: Mapping[str, Any]) -> Size | None:
    """Return the size that images are brought to, or None where they keep their own.

    Args:
        data: of a run's configuration.

    Raises:
        InputError: ``size`` is no height and width.
    """
    size = data.get("size")
    if size is None:
        return None
    two = isinstance(size, Sequence) and len(size) == 2
    if not two or not all(isinstance(side, int) and side > 0 for side in size):
        raise InputError(f"data.size is {size}; it must be [height, width] in pixels")
    return size[0], size[1]


def told(size: Size | None) -> str:
    """Return a size as a result's ``evaluation`` has it."""
    return f"{size[0]}x{size[1]}" if size is not None else "the images' own size"
