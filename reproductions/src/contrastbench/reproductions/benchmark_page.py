"""The benchmarks as a page, from the files that ``nox -s bench -- --json FILE`` writes, and from these alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from contrastbench.core.errors import InputError
from contrastbench.core.testing.bench import words
from contrastbench.core.testing.bench.record import read_measurements

_HEAD = """# Benchmarks

Each formulation runs in a process of its own, on the same inputs. First all are compared at a small size; one that
differs from the first is not timed. *Time* is the best of the repeats by the clock (on a GPU by its own events, its
cache emptied before), *spread* how far their median lies above it; *CPU time* is that of all threads, which other work
on the machine does not lengthen. *Extra memory* is the peak beyond what the inputs take. *Share of limit* compares
with the least time that this machine needs for the arithmetic or the traffic, whichever is longer, by its own rates,
measured in the same run. *Times faster*, *by CPU time* and *memory* compare with the first formulation. Where something
is added to a training step, both run in turn in one process, and *added* is the time it adds.
"""
_NO_GPU = """
What a GPU does is left blank: none was at hand. On a machine with one,
`nox -s bench -- --device cuda --json reproductions/benchmarks/results/cuda.json` and `nox -s docs` fill it in.
"""


class _Machine(NamedTuple):
    label: str
    about: Mapping[str, Any]
    benchmarks: Mapping[str, Mapping[str, Any]]


def benchmark_page(results: Path) -> str:
    """Return the page.

    Args:
        results: folder of files of measurements, one for each machine or number of threads.

    Raises:
        InputError: a file there is no such file, or was made at the small size.
    """
    machines = [_machine(path) for path in sorted(results.glob("*.json"))]
    machines.sort(key=lambda machine: (machine.about["device"] != "cpu", machine.label))
    if not machines:
        return f"{_HEAD}\nNothing was measured yet.\n"
    gpu = any(machine.about["device"] == "cuda" for machine in machines)
    parts = [_HEAD, "\n".join(map(_described, machines)) + "\n", *([] if gpu else [_NO_GPU.strip() + "\n"])]
    names = dict.fromkeys(name for machine in machines for name in machine.benchmarks)
    section = None
    for name in names:
        found = next(machine.benchmarks[name] for machine in machines if name in machine.benchmarks)
        if found["benchmark"] != section:
            section = found["benchmark"]
            parts.append(f"## {section}\n")
        parts.append(f"### {name}\n")
        parts.append("\n".join(_table(name, found, machines)) + "\n")
        if found["note"]:
            parts.append(f"{found['note']}\n")
    return "\n".join(parts)


def _machine(path: Path) -> _Machine:
    held = read_measurements(path)
    about = held["machine"]
    if about["small"]:
        raise InputError(f"{path} was made with --small, which is only to try benchmarks out; measure without it")
    threads = f"{about['threads']} thread{'s' if about['threads'] > 1 else ''}"
    return _Machine(about.get("gpu") or f"CPU, {threads}", about, held["benchmarks"])


def _described(machine: _Machine) -> str:
    about, records = machine.about, list(machine.benchmarks.values())
    versions = ", ".join(f"{name} {about[name]}" for name in ("torch", "cuda", "triton") if about.get(name))
    rates = [record["limits"] for record in records]
    keys = dict.fromkeys(key for limits in rates for key in limits)
    spans = ", ".join(_span(key, [limits[key] for limits in rates if key in limits]) for key in keys)
    loads = [record["load"] for record in records]
    return (
        f"- **{machine.label}**: {about['cpu']}, {about['cores']} cores, {versions}. It {spans}. Load when a benchmark "
        f"began: {min(loads):.1f} to {max(loads):.1f}."
    )


def _span(key: str, values: Sequence[float]) -> str:
    unit, size, verb = ("GB/s", 1e9, "copies") if key == "bytes_per_second" else (f"Tflop/s {key}", 1e12, "multiplies")
    low, high = (f"{value / size:.3g}" for value in (min(values), max(values)))
    return f"{verb} {low if low == high else f'{low} to {high}'} {unit}"


def _table(name: str, found: Mapping[str, Any], machines: Sequence[_Machine]) -> Iterator[str]:
    heads = ("on", "formulation", *words.columns(found)[1:])
    yield _row(heads)
    yield _row(["---", "---", *["---:"] * (len(heads) - 2)])
    for device, place in (("cpu", "CPU"), ("cuda", "GPU")):
        if device not in found["devices"]:
            continue
        own = [machine for machine in machines if machine.about["device"] == device and name in machine.benchmarks]
        for machine in own:
            record = machine.benchmarks[name]
            for formulation in record["formulations"]:
                yield _filled([machine.label, *words.cells(record, formulation)], heads)
        if not own:
            for formulation in found["formulations"]:
                yield _filled([place, formulation], heads)


def _filled(cells: Sequence[str], heads: Sequence[str]) -> str:
    return _row([*cells, *[""] * (len(heads) - len(cells))])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
