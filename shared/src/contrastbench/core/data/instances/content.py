"""Naming files by what is in them, without reading them each time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contrastbench.core.data.cache import cache_dir, write_whole
from contrastbench.core.errors import InputError

Progress = Callable[[int, int], None]


def content_name(
    meaning: bytes,
    files: Mapping[str, Path],
    check: Callable[[str, Path], None],
    progress: Progress | None = None,
) -> str:
    """Return what names the content of files, after checking each.

    The outcome is kept in the cache folder, by the paths, sizes and times of the files, so that the same files are
    read once. Nothing is kept when something is wrong.

    Args:
        meaning: what else determines the content.
        files: by a name that does not depend on where they lie, in a fixed order.
        check: called with name and file before its bytes are read, from several threads; raises what is wrong.
        progress: called with files done and files in all.

    Returns:
        A SHA-256 over ``meaning`` and each file's name and bytes (64 hex digits).

    Raises:
        InputError: a file is gone, or what ``check`` raises, for the first file in order.
    """
    record = cache_dir() / "verified" / f"{_state(meaning, files)}.txt"
    if record.is_file():
        return record.read_text(encoding="ascii")
    digest = hashlib.sha256(meaning)

    def read(item: tuple[str, Path]) -> str:
        check(*item)
        return hashlib.sha256(item[1].read_bytes()).hexdigest()

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for done, (name, content) in enumerate(zip(files, pool.map(read, files.items()), strict=True), 1):
            digest.update(f"\n{name} {content}".encode())
            if progress is not None:
                progress(done, len(files))
    finally:
        pool.shutdown(cancel_futures=True)
    write_whole(record, digest.hexdigest())
    return digest.hexdigest()


def _state(meaning: bytes, files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256(meaning)
    for name, path in files.items():
        try:
            status = path.stat()
        except FileNotFoundError:
            raise InputError(f"'{path}' is gone; restore it from a whole copy of the data") from None
        digest.update(f"\n{name} {path.resolve()} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()
