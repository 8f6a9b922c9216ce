"""The command ``reproduce``: what there is, what it costs, running it, and what to do with the results."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from contrastbench.core.errors import InputError
from contrastbench.reproductions import pages, render
from contrastbench.reproductions import side_by_side_page as beside
from contrastbench.reproductions.benchmark_page import benchmark_page
from contrastbench.reproductions.bundle import load_records, write_bundle
from contrastbench.reproductions.calibrate import SECONDS, calibrate
from contrastbench.reproductions.carry_out import Carried, carry_out
from contrastbench.reproductions.cleaning import leftovers, remove
from contrastbench.reproductions.compare import compare
from contrastbench.reproductions.compose import hydra_session
from contrastbench.reproductions.forecast import forecast
from contrastbench.reproductions.formats import as_csv, csv_text
from contrastbench.reproductions.ledger import Record, read_records
from contrastbench.reproductions.locate import published_dir
from contrastbench.reproductions.overview import Origin, describe, list_tables, origins
from contrastbench.reproductions.plan import Plan, make_plan
from contrastbench.reproductions.provenance import environment
from contrastbench.reproductions.report import Report, as_data, make_report, make_reports
from contrastbench.reproductions.side_by_side import find_harnesses
from contrastbench.reproductions.tables import Table, all_tables, find_table
from contrastbench.reproductions.trained import FIGURES, draw, write_predictions

DEFAULT_TABLE = "pixel-contrast/table-1"

EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0: done; 1: a run failed; 2: bad input, said in one message; 130: interrupted.
    """
    options = _parsed(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except KeyboardInterrupt:
        print(
            "\ninterrupted. What is finished is recorded; the same command goes on from here.",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # whoever read the output has gone; nothing more may be written, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options; words may stand before and after them, which argparse alone does not allow."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(options, "words") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.words += rest
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reproduce", description="Tables of papers on contrastive segmentation, reported beside reproduced."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        tabular = ("markdown", "csv") if name in ("run", "report", "compare", "side-by-side") else ()
        sub.add_argument("--format", choices=("text", "json", *tabular), default="text", help="how to print")
        if name not in ("picture", "docs", "clean", "env"):
            sub.add_argument("--papers", type=Path, metavar="DIR", help="folder of tables of your own")
        return sub

    listing = add("list", _list, "List all tables: rows, which can be run, claims, records.")
    show = add("show", _show, "Show a table: its numbers, and what was reproduced of them.")
    plan = add("plan", _plan, "Say what a run would do, without doing it.")
    run = add("run", _run, "Train what is missing of a table, and print it with a verdict on each claim.")
    report = add("report", _report, "Print tables from records; trains nothing.")
    picture = add("picture", _picture, "Draw a figure of a paper from networks trained here.")
    predict = add("predict", _predict, "Write a row's predictions as label maps, as Cityscapes' server takes them.")
    docs = add("docs", _docs, "Write the results pages, and the README's status, from records.")
    bundle = add("bundle", _bundle, "Write all there is of a table into one archive, to attach to a report.")
    comparing = add("compare", _compare, "Set two sets of results side by side.")
    together = add("side-by-side", _side_by_side, "Set all objectives beside each other that ran on the same harness.")
    clean = add("clean", _clean, "Say what abandoned runs have left, or remove it. Records stay.")
    add("env", _env, "Describe this installation and machine, for a bug report.")

    clean.add_argument("runs", type=Path, metavar="DIR", nargs="?", default=Path("runs"), help="folder of runs")
    clean.add_argument("--days", type=float, default=7, metavar="N", help="untouched for so many days (7)")
    clean.add_argument("--yes", action="store_true", help="remove it")
    plan.add_argument(
        "--calibrate", action="store_true", help=f"try each row for {SECONDS:g} s to see what it costs on this machine"
    )
    show.add_argument("table", metavar="PAPER/TABLE")
    report.add_argument("table", metavar="PAPER/TABLE", nargs="?", help="all tables with records if left out")
    bundle.add_argument("table", metavar="PAPER/TABLE")
    bundle.add_argument("file", type=Path, metavar="FILE", nargs="?", help="the archive (PAPER-TABLE.zip if left out)")
    bundle.add_argument("--runs", type=Path, metavar="DIR", default=Path("runs"), help="folder of runs, for their logs")
    for side in ("A", "B"):
        comparing.add_argument(side.lower(), type=Path, metavar=side, help="a folder of records, or a bundle")
    together.add_argument(
        "sources",
        type=Path,
        nargs="*",
        metavar="DIR",
        help="folders of records, or bundles (those there are if left out)",
    )
    picture.add_argument("figure", metavar="FIGURE", help=f"one of: {', '.join(FIGURES)}")
    picture.add_argument("path", type=Path, metavar="FILE", help="the picture; .png, .pdf or .svg")
    picture.add_argument("--image", type=int, default=0, metavar="N", help="which validation image, or how many")
    picture.add_argument("words", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, as for run")
    predict.add_argument("table", metavar="PAPER/TABLE")
    predict.add_argument("row", metavar="ROW")
    predict.add_argument("folder", type=Path, metavar="DIR", help="where to write")
    predict.add_argument("--split", default="test", help="test (the default), val or train")
    predict.add_argument("words", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, as for run")
    docs.add_argument("folder", type=Path, metavar="DIR", help="the results folder of the docs")
    docs.add_argument("--readme", type=Path, metavar="FILE", help="a README with a place for the status")
    docs.add_argument(
        "--benchmarks", type=Path, metavar="DIR", help="measurements, for a page of them beside that folder"
    )
    for sub in (listing, show, report, bundle, docs):
        sub.add_argument("--records", type=Path, metavar="DIR", help="folder of records")
    for sub in (plan, run):
        sub.add_argument(
            "words",
            nargs="*",
            metavar="[PAPER/TABLE] [KEY=VALUE ...]",
            help=f"the table ({DEFAULT_TABLE} if left out), then Hydra overrides: seeds=3, rows=[a,b], "
            "profile=smoke, data=camvid data.root=FOLDER, hydra/launcher=basic, or any configuration key",
        )
    return parser


def _list(options: argparse.Namespace) -> int:
    tables = list_tables(all_tables(options.papers), origins(options.records))
    if options.format == "json":
        _print_json(tables)
    else:
        _console().print(render.listing(tables))
    return 0


def _show(options: argparse.Namespace) -> int:
    table = find_table(options.table, options.papers)
    found = origins(options.records)
    if options.format == "json":
        _print_json(describe(table, found))
        return 0
    reports = [report for origin in found for report in _reports(table, origin)]
    _console().print(render.paper_table(table))
    for report in reports:
        _console().print(render.terminal(report))
    return 0


def _picture(options: argparse.Namespace) -> int:
    with hydra_session():
        draw(options.figure, options.words, options.image, options.path, Console(file=sys.stderr, stderr=True))
    if options.format == "json":
        _print_json({"figure": options.figure, "file": str(options.path)})
    else:
        _console().print(f"{options.path}: {FIGURES[options.figure].text}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    table = find_table(options.table, options.papers)
    with hydra_session():
        console = Console(file=sys.stderr, stderr=True)
        count = write_predictions(table, options.row, options.words, options.split, options.folder, console)
    if options.format == "json":
        _print_json({"folder": str(options.folder), "images": count})
    else:
        _console().print(f"{options.folder}: predictions of {count} images")
    return 0


def _plan(options: argparse.Namespace) -> int:
    with hydra_session():
        plan = _planned(options)
        expected = forecast(plan, origins(None), calibrate if options.calibrate else None)
    if options.format == "json":
        _print_json(expected)
    else:
        _console().print(render.forecast(expected))
    return 0


def _run(options: argparse.Namespace) -> int:
    # the stream as it is now: while a job runs in this process, sys.stderr is its log
    progress = Console(file=sys.stderr, stderr=True)
    with hydra_session():
        with progress.status("reading the data, and what is on record"):
            plan = _planned(options)
        carried = carry_out(plan, progress)
    report = make_report(plan.table, plan.study, carried.records)
    if options.format == "json":
        failures = [
            {"row": f.run.row if f.run else None, "seed": f.run.seed if f.run else None, "message": f.message}
            for f in carried.failures
        ]
        _print_json({**as_data(report), "failures": failures})
    elif carried.records:
        _print_reports([report], options.format)
    return _exit_code(plan, carried, progress)


def _exit_code(plan: Plan, carried: Carried, console: Console) -> int:
    for failure in carried.failures:
        where = "" if failure.run is None else f"{failure.run.row}, seed {failure.run.seed}: "
        folder = "" if failure.run is None else f" (see {plan.runs_dir / 'work' / failure.run.id})"
        console.print(f"error: {where}{failure.message}{folder}", markup=False, highlight=False, soft_wrap=True)
    if not carried.failures:
        return 0
    return EXIT_INPUT if all(f.is_input_error for f in carried.failures) else EXIT_FAILED


def _report(options: argparse.Namespace) -> int:
    folder = options.records or published_dir()
    if options.records is not None and not folder.is_dir():
        raise InputError(f"{folder}: no such folder of records")
    tables = [find_table(options.table, options.papers)] if options.table else all_tables(options.papers)
    reports = [report for table in tables for report in _reports(table, Origin("records", folder))]
    if not reports and options.format == "text":
        print(f"no records of {options.table or 'any table'} in {folder}", file=sys.stderr)
    elif options.format == "json":
        _print_json([as_data(report) for report in reports])
    else:
        _print_reports(reports, options.format)
    return 0


def _print_reports(reports: Sequence[Report], form: str) -> None:
    if form == "markdown":
        print("\n".join(render.markdown(report) for report in reports), end="")
    elif form == "csv":
        print(as_csv(reports), end="")
    else:
        for report in reports:
            _console().print(render.terminal(report))


def _bundle(options: argparse.Namespace) -> int:
    table = find_table(options.table, options.papers)
    file = options.file or Path(f"{table.paper}-{table.id}.zip")
    count = write_bundle(table, file, origins(options.records), options.runs)
    if options.format == "json":
        _print_json({"file": str(file), "records": count})
    else:
        print(f"{file}: {count} records of {table.name}, with their configurations, the environment and the logs")
    return 0


def _compare(options: argparse.Namespace) -> int:
    found = compare(load_records(options.a), load_records(options.b), options.papers)
    if not found:
        raise InputError(f"'{options.a}' and '{options.b}' have no row of the same table and study in common")
    if options.format == "json":
        _print_json([asdict(one) for one in found])
    elif options.format == "text":
        _console().print(render.comparison(found, str(options.a), str(options.b)))
    else:
        headings, rows = render.comparison_cells(found, str(options.a), str(options.b))
        print(render.grid(headings, rows) if options.format == "markdown" else csv_text(headings, rows))
    return 0


def _side_by_side(options: argparse.Namespace) -> int:
    tables = all_tables() if options.papers is None else [*all_tables(), *all_tables(options.papers)]
    if options.sources:
        records = [record for source in options.sources for record in load_records(source)]
    else:
        places = [(origin.folder, table) for origin in origins(None) for table in tables]
        records = [record for folder, table in places for record in read_records(folder, table.paper, table.id)]
    found = find_harnesses(tables, records)
    if options.format == "json":
        _print_json([asdict(harness) for harness in found])
    elif not found:
        raise InputError("no harness has a run without an objective and two with one; run such rows of a table first")
    elif options.format == "csv":
        print(csv_text(*beside.lines(found)))
    elif options.format == "markdown":
        print("\n".join(f"**{beside.title(harness)}**\n\n{beside.markdown(harness)}" for harness in found), end="")
    else:
        for harness in found:
            _console().print(beside.terminal(harness))
    return 0


def _docs(options: argparse.Namespace) -> int:
    (origin, *_) = origins(options.records or published_dir())
    written = pages.write(options.folder, options.readme, origin.folder)
    if options.benchmarks is not None:
        page = options.folder.parent / "benchmarks.md"
        page.write_text(benchmark_page(options.benchmarks), encoding="utf-8")
        written.append(page)
    if options.format == "json":
        _print_json([str(path) for path in written])
    else:
        print(f"{len(written)} pages written from the records in {origin.folder}")
    return 0


def _clean(options: argparse.Namespace) -> int:
    found = leftovers(options.runs, options.days)
    if options.yes:
        found = [one for one in found if remove(one)]
    if options.format == "json":
        listed = [{"path": str(one.path), "days": round(one.days, 1), "bytes": one.bytes} for one in found]
        _print_json({"leftovers": listed, "removed": options.yes})
        return 0
    for one in found:
        print(f"{one.bytes / 1e6:10.1f} MB  {one.days:6.1f} days  {one.path}")
    done = "removed" if options.yes else "to be removed with --yes"
    print(f"{sum(one.bytes for one in found) / 1e6:10.1f} MB in {len(found)} places {done}; records stay")
    return 0


def _env(options: argparse.Namespace) -> int:
    found = environment()
    if options.format == "json":
        _print_json(found)
    else:
        _console().print(render.pairs(found))
    return 0


def _console() -> Console:
    """Return the console for results; where no terminal tells its width, one that tables fit in."""
    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if told else 160)


def _planned(options: argparse.Namespace) -> Plan:
    words: list[str] = options.words
    named = words[:1] if words and "=" not in words[0] and not words[0].startswith(("~", "+")) else []
    table = find_table(named[0] if named else DEFAULT_TABLE, options.papers)
    return make_plan(table, words[len(named) :])


def _reports(table: Table, origin: Origin) -> list[Any]:
    records: list[Record] = read_records(origin.folder, table.paper, table.id)
    return make_reports(table, records)


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
