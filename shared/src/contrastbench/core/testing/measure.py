"""Time and extra memory of a function, each measured in a process of its own. Linux only."""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Cost(NamedTuple):
    """What one call costs: seconds (the best of the repeats) and bytes beyond what its inputs take.

    ``cpu_seconds`` is the work of all threads, whatever else the machine was doing meanwhile.
    """

    seconds: float
    cpu_seconds: float
    extra_bytes: int
    value: Any


def _status(field: str) -> int:
    """Return a size from the kernel's account of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def _child(pipe: Connection, setup: Callable[[], Any], call: Callable[[Any], Any], repeats: int, threads: int) -> None:
    torch.set_num_threads(threads)
    inputs = setup()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak that the set-up made
    before, value = _status("VmRSS"), None
    seconds, cpu_seconds = [], []
    for _ in range(repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        value = call(inputs)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    pipe.send(Cost(min(seconds), min(cpu_seconds), _status("VmHWM") - before, value))


def measure(setup: Callable[[], Any], call: Callable[[Any], Any], *, repeats: int = 3, threads: int) -> Cost:
    """Run ``call(setup())`` in a fresh process; memory is counted from after the set-up.

    Both functions are found by name in the new process. What ``call`` returns comes back in ``value``.
    """
    context = mp.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(send, setup, call, repeats, threads))
    process.start()
    send.close()
    try:
        cost: Cost = receive.recv()
    except EOFError as error:
        raise RuntimeError(f"{call.__name__} ended without a result") from error
    finally:
        process.join()
    return cost
