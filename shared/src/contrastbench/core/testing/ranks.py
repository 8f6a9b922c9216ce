"""Several ranks on one machine, for tests of what crosses them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _worker(rank: int, world: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(Path(folder) / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    try:
        torch.save(function(*arguments), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def run_ranks(world: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Run ``function(*arguments)`` on every rank of a gloo group and return what each gave.

    Args:
        world: number of ranks, each a process of its own.
        function: importable by name (not a lambda or a local function).
        arguments: what it is called with, the same on every rank.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_worker, (world, folder, function, arguments), nprocs=world)
        return [torch.load(Path(folder) / f"{r}.pt", weights_only=True) for r in range(world)]
