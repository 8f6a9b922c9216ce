"""What abandoned runs have left: found by age, removed when asked to, never a record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from contrastbench.core.errors import InputError
from contrastbench.reproductions.ledger import PROGRESS, STATE, read_progress


@dataclass(frozen=True)
class Leftover:
    """Something that can go: a run's state, or half of a record that a killed writer left."""

    path: Path
    days: float
    bytes: int


def leftovers(runs: Path, days: float) -> list[Leftover]:
    """Return what runs have left that nobody touched for so many days, largest first.

    A run's state counts unless it is at work, or finished and kept on purpose. An abandoned run that loses its state
    begins anew when it is asked for again.

    Args:
        runs: folder of runs.
        days: how long nobody touched it.

    Raises:
        InputError: there is no such folder.
    """
    if not runs.is_dir():
        raise InputError(f"'{runs}' is no folder of runs; name one")
    runs = runs.resolve()
    found = [_measured(path) for path in (*_states(runs), *(runs / "records").rglob(".*.json.*"))]
    return sorted((one for one in found if one.days >= days), key=lambda one: -one.bytes)


def remove(leftover: Leftover) -> bool:
    """Remove what :func:`leftovers` found and return True; False, and nothing done, where its run has begun again."""
    if leftover.path.is_dir():
        try:
            with FileLock(leftover.path.parent / "lock", timeout=0):
                shutil.rmtree(leftover.path)
        except Timeout:
            return False
    else:
        leftover.path.unlink(missing_ok=True)
    return True


def _states(runs: Path) -> Iterator[Path]:
    for state in runs.glob(f"work/*/{STATE}"):
        if read_progress(state.parent).get("state") == "finished":
            continue
        try:
            with FileLock(state.parent / "lock", timeout=0):
                yield state
        except Timeout:
            continue


def _measured(path: Path) -> Leftover:
    files = [inner for inner in path.rglob("*") if inner.is_file()] if path.is_dir() else [path]
    touched = [*files, path, *(p for p in [path.parent / PROGRESS] if path.is_dir() and p.exists())]
    newest = max(inner.stat().st_mtime for inner in touched)
    return Leftover(path, (time.time() - newest) / 86400, sum(inner.stat().st_size for inner in files))
