"""The command ``mask-errors``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from contrastbench.core.data.cache import require_writable
from contrastbench.core.data.coco import read_ground_truth, read_results
from contrastbench.core.errors import InputError
from contrastbench.core.figures import require_figure_format
from contrastbench.dcl.errors.analysis import analyse_checked
from contrastbench.dcl.errors.chart import error_chart
from contrastbench.dcl.errors.correction import UNMATCHED_RULES
from contrastbench.dcl.errors.examples import choose_examples, draw_examples
from contrastbench.dcl.errors.report import ErrorScores, MaskErrorReport
from contrastbench.dcl.errors.split import KINDS, LABELS

EXIT_INPUT, EXIT_INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0: done; 2: bad input, said in one message; 130: interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # whoever read the output has gone; nothing more may be written, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mask-errors",
        description="Say what each kind of mask error costs in AP: false positives on other instances (fFP), on the "
        "background (bFP), and false negatives (FN). After section 3 of the DCL paper (Chen et al., BMVC 2022).",
    )
    parser.add_argument("ground_truth", type=Path, metavar="GROUND_TRUTH.json", help="COCO annotations")
    parser.add_argument("results", type=Path, metavar="RESULTS.json", help="COCO results with masks")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print")
    parser.add_argument(
        "--unmatched",
        choices=UNMATCHED_RULES,
        default="leave",
        help="predictions that match nothing are left alone; or, as in the published tool, are corrected as if matched "
        "to the image's last instance, and crowd regions count as background",
    )
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the three costs as bars")
    parser.add_argument("--examples", type=Path, metavar="DIR", help="draw the predictions with the largest errors")
    parser.add_argument("--images", type=Path, metavar="ROOT", help="folder of the images, for --examples")
    parser.add_argument("--count", type=_positive, default=3, metavar="N", help="examples of each kind (default 3)")
    parser.add_argument(
        "--workers", type=_positive, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _run(options: argparse.Namespace) -> None:
    _check(options)  # before the work: minutes on a large set
    with _bar() as progress:
        ground_truth = read_ground_truth(options.ground_truth)
        results = read_results(options.results, ground_truth)
        report = analyse_checked(ground_truth, results, options.unmatched, progress, options.workers)
    if options.figure is not None:
        error_chart({options.results.stem: report}, options.figure)
    if options.examples is not None:
        chosen = choose_examples(report, results, options.count)
        draw_examples(chosen, ground_truth, results, options.images, options.examples)
    if options.format == "json":
        print(json.dumps(report.as_data(), indent=2))
    else:
        Console().print(_table(report))


def _check(options: argparse.Namespace) -> None:
    if options.figure is not None:
        require_figure_format(options.figure)
        require_writable(options.figure.parent, "choose another place for --figure")
    if options.examples is not None:
        if options.images is None:
            raise InputError("--examples draws on the images; give their folder with --images")
        if not options.images.is_dir():
            raise InputError(f"there is no folder '{options.images}'; give the folder of the images with --images")
        require_writable(options.examples, "choose another folder for --examples")
    elif options.images is not None:
        raise InputError("--images is for --examples; say with --examples where to draw")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("images", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _table(report: MaskErrorReport) -> Table:
    pixels = report.pixels()
    beyond = f"; {report.beyond_limit:,} more beyond 100 a class and image" if report.beyond_limit else ""
    table = Table(
        title="AP gained by correcting each kind of mask error, in points",
        caption=f"{report.predictions:,} predictions, {report.matched:,} matched, {report.unmatched:,} not{beyond}. "
        f"Error pixels: {', '.join(f'{LABELS[kind]} {pixels[kind]:,}' for kind in KINDS)}.",
    )
    table.add_column("class", overflow="fold")
    for column in ("AP", *(LABELS[kind] for kind in KINDS)):
        table.add_column(column, justify="right")
    table.add_row("all", *_cells(report.overall), style="bold", end_section=True)
    for name, scores in report.per_class.items():
        table.add_row(name, *_cells(scores))
    return table


def _cells(scores: ErrorScores) -> list[str]:
    gains = ("n/a" if (gain := scores.delta_ap[kind]) is None else f"{gain:+.2f}" for kind in KINDS)
    return ["n/a" if scores.ap is None else f"{scores.ap:.2f}", *gains]


if __name__ == "__main__":
    sys.exit(main())
