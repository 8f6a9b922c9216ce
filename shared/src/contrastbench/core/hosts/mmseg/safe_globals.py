"""What torch may read from mmengine's own checkpoints.

Since torch 2.6 a checkpoint is read as weights alone unless told otherwise, and mmengine does not tell; but its
checkpoints hold the history of logged values too, so that its own resuming fails. These are data: series of numbers
in numpy arrays, and the names of the four statistics that can be taken of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

WEIGHTS_ONLY = "weights-only:"
"""What stands before the path of a file that mmengine is to read as weights alone, whatever the environment says."""

_STATISTICS = ("min", "max", "current", "mean")


def allow_history() -> None:
    """Let ``torch.load`` read the history of logged values that mmengine saves, and nothing beyond it."""
    makers: list[Any] = [np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]]
    kinds: set[Any] = {type(np.dtype(name)) for name in ("float64", "int64", "float32", "int32", "bool")}
    # A history is pickled with its statistics, each as getattr(HistoryBuffer, name).
    getters: list[Any] = [(_statistic, "builtins.getattr"), (_statistic, "getattr")]
    torch.serialization.add_safe_globals([HistoryBuffer, np.ndarray, np.dtype, *makers, *kinds, *getters])


@CheckpointLoader.register_scheme(prefixes=WEIGHTS_ONLY)
def load_weights_only(filename: str, map_location: Any = None) -> Any:
    """Read a file named with :data:`WEIGHTS_ONLY` before its path. Called by mmengine."""
    return torch.load(filename.removeprefix(WEIGHTS_ONLY), map_location=map_location, weights_only=True)


def _statistic(owner: Any, name: str) -> Any:
    """Stand in for ``getattr``, which itself would let a file reach anything."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise ValueError(f"a checkpoint may not ask for {name!r} of {owner!r}")
    return getattr(owner, name)
