"""One benchmark measured: parity first, then time and memory of each formulation, then what they say together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from contrastbench.core.testing.bench.case import Case, find_case
from contrastbench.core.testing.bench.limits import least_seconds
from contrastbench.core.testing.bench.parity import differences
from contrastbench.core.testing.bench.process import FailedError, in_process
from contrastbench.core.testing.bench.timing import Cost, time_calls


class Settings(NamedTuple):
    """How to measure: ``device``, CPU ``threads``, ``repeats`` at least, and whether at the small size."""

    device: str
    threads: int
    repeats: int = 3
    small: bool = False


def measure_case(file: Path, case: Case, settings: Settings, limits: Mapping[str, float]) -> dict[str, Any]:
    """Measure a benchmark; what fails in it is said in the result and keeps nothing else from being measured.

    Args:
        file: where the case is from; other processes import it from there.
        case: what to measure.
        settings: how.
        limits: as :func:`~contrastbench.core.testing.bench.limits.measure_limits` gives them.

    Returns:
        What goes into a record: ``formulations`` with, for each, either ``skipped`` or ``failed`` and why, or its cost,
        ``difference`` from the first formulation, ``share_of_limit``, and ``speed_up``, ``cpu_speed_up`` and
        ``memory_ratio`` over the plain one (``added`` and ``cpu_added`` where the case adds something to it).
    """
    record: dict[str, Any] = {
        "benchmark": file.stem,
        "devices": list(case.devices),
        "precision": case.precision,
        "flops": case.flops,
        "moved_bytes": case.moved_bytes,
        "adds": case.adds,
        "note": case.note,
        "limits": dict(limits),
        "load": os.getloadavg()[0],
        "formulations": {},
    }
    found: dict[str, dict[str, Any]] = {name: _skipped(case, name, settings.device) for name in case.calls}
    record["formulations"] = found
    try:
        parity = in_process(_parity, file, case.name, settings.device, _left(found), threads=settings.threads)
    except FailedError as error:
        parity = dict.fromkeys(_left(found), str(error))
    for name, difference in parity.items():
        if isinstance(difference, str):
            found[name]["failed"] = difference
        elif difference > case.tolerance:
            against = next(one for one in parity if not isinstance(parity[one], str))
            found[name]["failed"] = f"differs from {against} by {difference:.1e}, allowed are {case.tolerance:.0e}"
        else:
            found[name]["difference"] = difference
    for group in [_left(found)] if case.adds else [[name] for name in _left(found)]:
        _time(file, case, settings, found, group)
    _compare(case, settings, limits, found)
    return record


def failures(record: Mapping[str, Any]) -> dict[str, str]:
    """Return why each formulation that failed did."""
    return {name: one["failed"] for name, one in record["formulations"].items() if "failed" in one}


def _skipped(case: Case, name: str, device: str) -> dict[str, Any]:
    if device not in case.devices:
        return {"skipped": f"only on {' and '.join(case.devices)}"}
    why = case.skip(name, device)
    return {} if why is None else {"skipped": why}


def _left(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [name for name, one in found.items() if not {"skipped", "failed"} & set(one)]


def _time(file: Path, case: Case, settings: Settings, found: dict[str, dict[str, Any]], names: Sequence[str]) -> None:
    if not names:
        return
    try:
        costs = in_process(_costs, file, case.name, settings, names, threads=settings.threads)
    except FailedError as error:
        for name in names:
            found[name]["failed"] = str(error)
    else:
        for name in names:
            found[name].update(costs[name]._asdict())


def _compare(case: Case, settings: Settings, limits: Mapping[str, float], found: Mapping[str, dict[str, Any]]) -> None:
    least = 0.0 if settings.small else least_seconds(case.flops, case.moved_bytes, case.precision, limits)
    plain = next(iter(found.values()))
    for one in found.values():
        if "seconds" not in one:
            continue
        one["share_of_limit"] = least / one["seconds"] if least else None
        if one is plain or "seconds" not in plain:
            continue
        if case.adds:
            one["added"] = one["seconds"] / plain["seconds"] - 1
            one["cpu_added"] = one["cpu_seconds"] / plain["cpu_seconds"] - 1
            continue
        one["speed_up"] = plain["seconds"] / one["seconds"]
        # of the work, which a busy machine does not lengthen
        one["cpu_speed_up"] = plain["cpu_seconds"] / one["cpu_seconds"] if one["cpu_seconds"] else None
        both = plain["extra_bytes"], one["extra_bytes"]
        one["memory_ratio"] = both[0] / both[1] if all(both) else None


# These two run in other processes.


def _parity(file: Path, name: str, device: str, formulations: Sequence[str]) -> dict[str, float | str]:
    case = find_case(file, name)
    return differences(partial(case.setup, device, True), {f: case.calls[f] for f in formulations})


def _costs(file: Path, name: str, settings: Settings, formulations: Sequence[str]) -> dict[str, Cost]:
    case = find_case(file, name)
    calls = {f: case.calls[f] for f in formulations}
    return time_calls(partial(case.setup, settings.device, settings.small), calls, settings.device, settings.repeats)
