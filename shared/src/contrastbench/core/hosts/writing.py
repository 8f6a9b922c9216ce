"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside ``path``, and put it in the place of ``path`` when it is whole."""
    partial = path.with_name(f"{path.name}.partial")
    write(partial)
    partial.replace(path)
