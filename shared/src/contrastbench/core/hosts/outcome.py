"""What a finished run measured, kept in its folder, so that it is never trained a second time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrastbench.core.writing import whole

METRICS = "metrics.json"
"""File in the run's folder that a finished run leaves: what it returned."""


def read_outcome(run_dir: Path) -> dict[str, Any] | None:
    """Return what the run of a folder measured, to the bit as it returned it, or None if it is not finished."""
    path = run_dir / METRICS
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def finish(run_dir: Path, metrics: Mapping[str, Any], checkpoint: str) -> None:
    """Keep what a run measured and, once that is on the disk, remove its checkpoint.

    Killed in between, it has either the checkpoint to go on from or the outcome to return.
    """
    with whole(run_dir / METRICS) as file:
        file.write(json.dumps(metrics).encode())
    (run_dir / checkpoint).unlink(missing_ok=True)
