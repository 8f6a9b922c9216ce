"""The states of torch's generators on every rank, which a checkpoint holds so that a run goes on to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from contrastbench.core.distributed import rank, world_size
from contrastbench.core.errors import InputError

States = dict[str, Tensor]
"""Of one rank: ``cpu`` and, where it has one, ``cuda``."""


def gather_generators(device: torch.device) -> list[States]:
    """Return the states of all ranks, in their order, on each of them.

    Args:
        device: of this rank.
    """
    own = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    if world_size() == 1:
        return [own]
    states: list[Any] = [None] * world_size()
    dist.all_gather_object(states, own)
    return states


def restore_generators(states: Sequence[States], device: torch.device) -> None:
    """Bring this rank's generators to where they were; one that it did not have then, or has no more, is left alone.

    Args:
        states: as of :func:`gather_generators`.
        device: of this rank.

    Raises:
        InputError: they are of another number of ranks.
    """
    if len(states) != world_size():
        raise InputError(
            f"the checkpoint is of a run on {len(states)} ranks, and there are {world_size()} now; go on with as many "
            "as before, or remove it to begin again"
        )
    own = states[rank()]
    torch.set_rng_state(own["cpu"].cpu())
    if device.type == "cuda" and "cuda" in own:
        torch.cuda.set_rng_state(own["cuda"].cpu(), device)
