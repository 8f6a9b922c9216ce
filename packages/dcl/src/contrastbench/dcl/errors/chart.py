"""What each kind of error costs, as grouped bars: Figure 2 of the DCL paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from contrastbench.core.errors import InputError
from contrastbench.core.figures import new_figure, write_figure
from contrastbench.dcl.errors.colours import COLOURS
from contrastbench.dcl.errors.report import MaskErrorReport
from contrastbench.dcl.errors.split import KINDS, LABELS

_NAMES = {"ffp": "foreground false positive", "bfp": "background false positive", "fn": "false negative"}


def error_chart(reports: Mapping[str, MaskErrorReport], path: Path) -> None:
    """Draw the three delta-APs of one or several results.

    Args:
        reports: by the label that stands below its bars, in the order of drawing.
        path: the picture; its suffix names the format.

    Raises:
        InputError: no report, an unknown suffix, or the picture cannot be written.
    """
    if not reports:
        raise InputError("cannot draw the chart of errors: there is no report; give at least one")
    width = 0.26
    figure = new_figure((2.2 + 1.6 * len(reports), 3.4), "contrastbench-dcl")
    axes = figure.subplots()
    for k, kind in enumerate(KINDS):
        places = [group + (k - 1) * width for group in range(len(reports))]
        values = [report.overall.delta_ap[kind] for report in reports.values()]
        bars = axes.bar(
            places,
            [value or 0.0 for value in values],
            0.92 * width,
            label=f"{LABELS[kind]}: {_NAMES[kind]}",
            color=COLOURS[kind],
            edgecolor="0.25",
            linewidth=0.6,
        )
        axes.bar_label(bars, ["n/a" if value is None else f"{value:.1f}" for value in values], padding=2, fontsize=9)
    axes.set_xticks(range(len(reports)), [_caption(label, report) for label, report in reports.items()])
    axes.set_xlim(-0.5, len(reports) - 0.5)
    axes.margins(y=0.12)
    axes.axhline(0, color="0.25", linewidth=0.8)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("AP gained by correcting it, points")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=1, frameon=False, fontsize=9)
    write_figure(figure, path)


def _caption(label: str, report: MaskErrorReport) -> str:
    ap = report.overall.ap
    return f"{label}\nAP {'n/a' if ap is None else f'{ap:.1f}'}"
