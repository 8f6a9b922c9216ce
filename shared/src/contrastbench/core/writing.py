"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written, which takes the place of ``path`` when it is whole and on the disk.

    Killed at any instant, ``path`` is what it was or what it is to be; what lies beside it (``.partial``) is written
    over by the next. A write that fails leaves nothing beside it. Only one process at a time may write to a path.

    Raises:
        OSError: what kept it from being written; that of the system where torch hides it behind an error of its own.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        settle(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        reason = error.__context__
        if isinstance(error, Exception) and not isinstance(error, OSError) and isinstance(reason, OSError):
            raise OSError(reason.errno, reason.strerror, str(path)) from error
        raise


def settle(partial: Path, path: Path) -> None:
    """Put a written file in the place of another, once its content is on the disk."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that nothing more can be written: no space left, or no more of one's quota."""
    return isinstance(error, OSError) and error.errno in _FULL
