"""Instance training in detectron2 on one of several ranks, importable by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def train_detectron2_in_pieces_on_rank(
    arguments: list[Any], whole: str, pieces: str, stop: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run an experiment undisturbed in one folder; in another, break off after ``stop`` steps, then go on."""
    from contrastbench.core.hosts.detectron2 import InstanceTraining

    def report(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    expected = InstanceTraining(*arguments).run(Path(whole))
    try:
        InstanceTraining(*arguments).run(Path(pieces), report)
    except KeyboardInterrupt:
        return expected, InstanceTraining(*arguments).run(Path(pieces))
    raise AssertionError("the first run was not broken off")
