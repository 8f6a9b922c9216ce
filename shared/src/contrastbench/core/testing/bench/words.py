"""Measurements in words: what a table's cells say, in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("", "time", "spread", "CPU time", "extra memory", "share of limit", "times faster", "by CPU time", "memory")
ADDED_COLUMNS = (*COLUMNS[:5], "added", "by CPU time")


def columns(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the heads of a benchmark's table; the first is of the formulations' names."""
    return ADDED_COLUMNS if record["adds"] else COLUMNS


def cells(record: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return what a formulation's row says, its name first; less than a whole row where it was not measured."""
    one = record["formulations"][name]
    if "skipped" in one:
        return name, f"not run: {one['skipped']}"
    if "failed" in one:
        return name, f"FAILED: {one['failed']}"
    cost = (
        name,
        seconds(one["seconds"]),
        f"{one['spread']:.0%}",
        seconds(one["cpu_seconds"]),
        "" if one["extra_bytes"] is None else size(one["extra_bytes"]),
    )
    if record["adds"]:
        return (*cost, *("" if one.get(key) is None else f"{one[key]:+.1%}" for key in ("added", "cpu_added")))
    ratio = one.get("memory_ratio")
    return (
        *cost,
        "" if one.get("share_of_limit") is None else f"{one['share_of_limit']:.1%}",
        *("" if one.get(key) is None else f"{_short(one[key])}x" for key in ("speed_up", "cpu_speed_up")),
        "" if ratio is None else f"1/{_short(ratio)}" if ratio >= 1 else f"{_short(1 / ratio)}x",
    )


def limits(record: Mapping[str, Any]) -> str:
    """Return the machine's limits in one line."""
    rates = [f"{rate / 1e12:.3g} Tflop/s {name}" for name, rate in record["limits"].items() if name in _RATES]
    return f"copies {record['limits']['bytes_per_second'] / 1e9:.3g} GB/s, multiplies {', '.join(rates)}"


def seconds(value: float) -> str:
    """Return a time with three digits in its own unit."""
    for unit, least in (("s", 1.0), ("ms", 1e-3)):
        if value >= least:
            return f"{_short(value / least)} {unit}"
    return f"{_short(value * 1e6)} µs"


def size(value: float) -> str:
    """Return a number of bytes with three digits in its own unit."""
    for unit, least in (("GB", 1e9), ("MB", 1e6)):
        if value >= least:
            return f"{_short(value / least)} {unit}"
    return f"{_short(value / 1e3)} kB"


_RATES = ("fp32", "tf32", "bf16", "fp64")


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
