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

_STATISTICS = ("min", "max", "current", "mean")


def allow_history() -> None:
    """Let ``torch.load`` read the history of logged values that mmengine saves, and nothing beyond it."""
    makers: list[Any] = [np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]]
    kinds: set[Any] = {type(np.dtype(name)) for name in ("float64", "int64", "float32", "int32", "bool")}
    # A history is pickled with its statistics, each as getattr(HistoryBuffer, name).
    getters: list[Any] = [(_statistic, "builtins.getattr"), (_statistic, "getattr")]
    torch.serialization.add_safe_globals([HistoryBuffer, np.ndarray, np.dtype, *makers, *kinds, *getters])


def _statistic(owner: Any, name: str) -> Any:
    """Stand in for ``getattr``, which itself would let a file reach anything."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise ValueError(f"a checkpoint may not ask for {name!r} of {owner!r}")
    return getattr(owner, name)
