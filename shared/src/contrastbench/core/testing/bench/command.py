"""The command behind every benchmark: which, where, and into which file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from contrastbench.core.errors import InputError, unknown_name
from contrastbench.core.testing.bench import words
from contrastbench.core.testing.bench.case import Case, load_cases
from contrastbench.core.testing.bench.limits import measure_limits
from contrastbench.core.testing.bench.machine import DEVICES, find_device, machine
from contrastbench.core.testing.bench.measuring import Settings, failures, measure_case
from contrastbench.core.testing.bench.process import FailedError, in_process, told
from contrastbench.core.testing.bench.record import RecordFile

EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def main(files: Sequence[str | Path], arguments: Sequence[str] | None = None) -> int:
    """Measure the benchmarks of some files and return the exit code.

    0: done; 1: something failed or did not agree; 2: bad input, said in one message; 130: interrupted, and what was
    measured is kept.
    """
    options = _parser().parse_args(arguments)
    try:
        return _run([Path(file) for file in files], options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except KeyboardInterrupt:
        kept = f"; what is measured is in {options.json}" if options.json else ""
        print(f"\ninterrupted{kept}", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure formulations of the same problem side by side.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a benchmark's file, or part of its name; all if none")
    parser.add_argument("--device", choices=DEVICES, help="cuda where there is one, else cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the CPU; all cores if not given")
    parser.add_argument("--repeats", type=int, default=3, help="of each call at least")
    parser.add_argument("--small", action="store_true", help="at the size of the parity check, to try them out")
    parser.add_argument("--list", action="store_true", help="only name the benchmarks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="collect the measurements here, each as it is made")
    return parser


def _run(files: Sequence[Path], options: argparse.Namespace) -> int:
    from rich.console import Console  # measuring needs it, the core does not

    if min(options.threads, options.repeats) < 1:
        raise InputError(f"--threads {options.threads} --repeats {options.repeats}: both must be 1 or more")
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)
    cases, broken = _load(files)
    chosen = _chosen(cases, broken, options.names)
    for file, why in broken.items():
        console.print(f"FAILED: {file}: {why}", style="red", markup=False, highlight=False)
    if options.list:
        for file, case in chosen:
            console.print(f"{file.stem}: {case.name}", markup=False, highlight=False)
        return EXIT_FAILED if broken else 0
    settings = Settings(find_device(options.device), options.threads, options.repeats, options.small)
    about = {**machine(settings.device, settings.threads), "small": settings.small}
    kept = RecordFile(options.json, about) if options.json else None
    precisions = frozenset(case.precision for _, case in chosen)
    try:
        limits = in_process(measure_limits, settings.device, precisions, threads=settings.threads)
    except FailedError as error:
        raise InputError(f"the limits of this machine cannot be measured: {error}") from error
    place = about.get("gpu", f"{about['cpu']}, {settings.threads} threads")
    console.print(f"{place}: {words.limits({'limits': limits})}; torch {about['torch']}", highlight=False)
    failed = bool(broken)
    for file, case in chosen:
        with console.status(case.name):
            record = measure_case(file, case, settings, limits)
        _print(console, case.name, record, settings.small)
        failed |= bool(failures(record))
        if kept is not None:
            kept.add(case.name, record)
    return EXIT_FAILED if failed else 0


def _load(files: Iterable[Path]) -> tuple[list[tuple[Path, Case]], dict[Path, str]]:
    """Return all cases, and the files that cannot be read and why."""
    cases: list[tuple[Path, Case]] = []
    broken: dict[Path, str] = {}
    for file in files:
        try:
            cases += [(file, case) for case in load_cases(file)]
        except Exception as error:
            broken[file] = told(error)
    names = [case.name for _, case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"several benchmarks are named '{twice[0]}'; records are kept by name")
    return cases, broken


def _chosen(cases: list[tuple[Path, Case]], broken: dict[Path, str], names: Sequence[str]) -> list[tuple[Path, Case]]:
    stems = {file.stem for file, _ in cases} | {file.stem for file in broken}
    for name in names:
        if name not in stems and not any(name in case.name for _, case in cases):
            raise unknown_name("benchmark", name, stems)
    if not names:
        return cases
    # The name of a file is that file, and no more.
    parts = [name for name in names if name not in stems]
    for file in [file for file in broken if file.stem not in names]:
        del broken[file]
    return [(f, c) for f, c in cases if f.stem in names or any(part in c.name for part in parts)]


def _print(console: Any, name: str, record: dict[str, Any], small: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    heads = words.columns(record)
    # Names are text: brackets in them are no markup.
    table = Table(title=Text(f"{name}{' (AT THE SMALL SIZE)' if small else ''}"), title_justify="left")
    for head in heads:
        table.add_column(head, justify="right" if head else "left")
    asides = []
    for formulation in record["formulations"]:
        cells = words.cells(record, formulation)
        if len(cells) == len(heads):
            table.add_row(*map(Text, cells))
        else:
            asides.append(": ".join(cells))
    if table.row_count:
        console.print(table, highlight=False)
    else:
        console.print(name, highlight=False, markup=False)
    for aside in [*asides, *([record["note"]] if record["note"] else [])]:
        console.print(f"  {aside}", markup=False, highlight=False, style="red" if "FAILED" in aside else None)
