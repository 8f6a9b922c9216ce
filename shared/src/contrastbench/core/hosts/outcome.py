"""What a finished run leaves in its folder: its weights, and what it measured, so that it is never trained again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from contrastbench.core.distributed import world_size
from contrastbench.core.errors import InputError
from contrastbench.core.writing import whole

METRICS = "metrics.json"
"""File in the run's folder that a finished run leaves: what it returned."""

WEIGHTS = "weights.pth"
"""File in the run's folder that a finished run leaves: the evaluated weights, for a plain model of the framework."""


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


def take_from_first_rank(state: Mapping[str, Tensor]) -> None:
    """Bring a model's state to that of the first rank, in place.

    Where batch statistics are each rank's own, so are their running means; the first rank's are the ones evaluated.
    """
    if world_size() > 1:
        for value in state.values():
            shared = value.contiguous()
            dist.broadcast(shared, 0)
            value.copy_(shared)


def write_weights(path: Path, state: Mapping[str, Tensor], key: str = "state_dict") -> None:
    """Write weights to a file, under a key of it."""
    with whole(path) as file:
        # Contiguous, so that the file does not tell how the weights lay in memory.
        torch.save({key: {name: value.cpu().contiguous() for name, value in state.items()}}, file)


def read_weights(run_dir: Path, name: str = WEIGHTS, key: str = "state_dict") -> dict[str, Tensor]:
    """Return the weights in a file that a finished run left, on the CPU.

    Raises:
        InputError: there is no such file.
    """
    path = run_dir / name
    if not path.is_file():
        raise InputError(f"'{run_dir}' holds no {name}: the run is not finished; run it to its end first")
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)[key]
    return state


def load_weights(model: nn.Module, state: Mapping[str, Tensor], run_dir: Path) -> None:
    """Give a model the weights of a finished run, strictly.

    Raises:
        InputError: they are of another network.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"'{run_dir}' holds weights of another network than the one configured, or of another number of classes"
        ) from error
