"""Time, CPU time and extra memory of calls, on either device."""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from contrastbench.core.memory import forget_peak, memory_now, peak_memory

ENOUGH_SECONDS, MOST_REPEATS = 1.0, 100
"""Short calls are repeated until they fill this time, or this often."""
_LONG_SECONDS = 5.0  # a first call of that length is no longer thrown away to warm up


class Cost(NamedTuple):
    """What one call costs.

    Attributes:
        seconds: of the best repeat, by the clock; on a GPU between two of its events.
        spread: of the repeats: how far their median lies above the best, relative to it.
        cpu_seconds: of the best repeat: the work of all threads and child processes, whatever else the machine did.
        extra_bytes: memory beyond what the inputs take, at its peak; None where it cannot be told.
        repeats: how many calls this is from.
    """

    seconds: float
    spread: float
    cpu_seconds: float
    extra_bytes: int | None
    repeats: int


def time_calls(
    setup: Callable[[], Any], calls: Mapping[str, Callable[[Any], Any]], device: str, repeats: int
) -> dict[str, Cost]:
    """Time calls, in turn where there are several, on the same inputs.

    Args:
        setup: -> inputs, on the device.
        calls: by name, inputs -> anything.
        device: ``"cpu"`` or ``"cuda"``. On a GPU its L2 cache is emptied before each call.
        repeats: of each call at least.
    """
    clock = _Cuda() if device == "cuda" else _Cpu(alone=len(calls) == 1)
    torch.manual_seed(0)
    inputs = setup()
    gc.collect()
    clock.begin()
    seconds: dict[str, list[tuple[float, float, int | None]]] = {name: [] for name in calls}
    for name, call in calls.items():
        first = clock.time(call, inputs)
        if clock.warms_up or first[0] < _LONG_SECONDS:
            started = time.perf_counter()
            while time.perf_counter() - started < clock.warm_seconds:
                clock.time(call, inputs)
        else:
            seconds[name].append(first)
    while not _enough(list(seconds.values()), repeats):
        for name, call in calls.items():
            seconds[name].append(clock.time(call, inputs))
    return {name: _cost(taken, clock.extra(taken)) for name, taken in seconds.items()}


def _enough(taken: Sequence[Sequence[tuple[float, float, int | None]]], repeats: int) -> bool:
    rounds, total = min(map(len, taken)), sum(seconds for one in taken for seconds, _, _ in one)
    return rounds >= repeats and (total >= ENOUGH_SECONDS * len(taken) or rounds >= MOST_REPEATS)


def _cost(taken: list[tuple[float, float, int | None]], extra: int | None) -> Cost:
    seconds = [one for one, _, _ in taken]
    best = min(seconds)
    return Cost(best, statistics.median(seconds) / best - 1, min(cpu for _, cpu, _ in taken), extra, len(taken))


class _Cpu:
    """The clock, and the kernel's account of this process. The account is Linux's; elsewhere memory stays unknown."""

    warms_up, warm_seconds = False, 0.0

    def __init__(self, alone: bool) -> None:
        # What one call leaves with the allocator, the next one takes from it without the process growing.
        self.alone = alone
        self.before: int | None = None

    def begin(self) -> None:
        # The peak that the set-up made.
        if self.alone and forget_peak():
            self.before = memory_now()

    def time(self, call: Callable[[Any], Any], inputs: Any) -> tuple[float, float, int | None]:
        start, cpu_start = time.perf_counter(), _cpu_seconds()
        value = call(inputs)
        taken = time.perf_counter() - start, _cpu_seconds() - cpu_start, None
        del value
        return taken

    def extra(self, taken: Any) -> int | None:
        peak = peak_memory()
        return None if self.before is None or peak is None else peak - self.before


class _Cuda:
    """The device's own events and the account of torch's allocator."""

    warms_up, warm_seconds = True, 0.2  # clocks rise, kernels are compiled

    def begin(self) -> None:
        properties = torch.cuda.get_device_properties("cuda")
        cache = getattr(properties, "L2_cache_size", 0) or 64 * 2**20
        self.flush = torch.empty(2 * cache, dtype=torch.int8, device="cuda")
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def time(self, call: Callable[[Any], Any], inputs: Any) -> tuple[float, float, int | None]:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, cpu_start = torch.cuda.memory_allocated(), _cpu_seconds()
        self.flush.zero_()
        self.events[0].record()
        value = call(inputs)
        self.events[1].record()
        torch.cuda.synchronize()
        cpu = _cpu_seconds() - cpu_start
        del value
        return self.events[0].elapsed_time(self.events[1]) / 1000, cpu, torch.cuda.max_memory_allocated() - before

    def extra(self, taken: list[tuple[float, float, int | None]]) -> int | None:
        return max(extra for _, _, extra in taken if extra is not None)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # those that have ended
    return time.process_time() + children.ru_utime + children.ru_stime
