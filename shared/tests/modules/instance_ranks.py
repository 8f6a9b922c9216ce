"""Instance training on one of several ranks, importable by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def train_instances_on_rank(arguments: list[Any], run_dir: str) -> dict[str, Any]:
    """Run an experiment in a folder that the ranks share."""
    from contrastbench.core.hosts.torchvision import InstanceTraining

    return InstanceTraining(*arguments).run(Path(run_dir))


def train_instances_in_pieces_on_rank(
    arguments: list[Any], whole: str, pieces: str, stop: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run an experiment undisturbed in one folder; in another, break off after ``stop`` steps, then go on."""
    from contrastbench.core.hosts.torchvision import InstanceTraining

    def report(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    expected = train_instances_on_rank(arguments, whole)
    try:
        InstanceTraining(*arguments).run(Path(pieces), report)
    except KeyboardInterrupt:
        return expected, train_instances_on_rank(arguments, pieces)
    raise AssertionError("the first run was not broken off")
