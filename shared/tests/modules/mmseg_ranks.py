"""Semantic training on one of several ranks, importable by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def train_on_rank(arguments: list[Any], run_dir: str) -> dict[str, Any]:
    """Run an experiment in a folder that the ranks share."""
    from contrastbench.core.hosts.mmseg import SemanticTraining

    return SemanticTraining(*arguments).run(Path(run_dir))


def train_in_pieces_on_rank(arguments: list[Any], run_dir: str, stop: int) -> dict[str, Any]:
    """Break off after ``stop`` steps on every rank, then go on."""
    from contrastbench.core.hosts.mmseg import SemanticTraining

    def report(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    try:
        SemanticTraining(*arguments).run(Path(run_dir), report)
    except KeyboardInterrupt:
        return SemanticTraining(*arguments).run(Path(run_dir))
    raise AssertionError("the first run was not broken off")
