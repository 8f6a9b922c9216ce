"""All objectives on one harness as text: for the terminal, as tables, and as a page with its pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from contrastbench.reproductions import plots, render
from contrastbench.reproductions.side_by_side import BASELINE, Entrant, Harness

PAGE = "side-by-side.md"
WAYS = {"reproduced": "above", "contradicted": "below", "undecided": "undecided", "not run": "-"}
"""How the interval of an entrant's gain lies to zero, by the verdict on it."""

INTRODUCTION = f"""\
The papers compare their methods on networks, schedules and machines of their own. Here stand together the runs of all
tables that differ in nothing but their objective, paired by seed with the run that has none (`{BASELINE}`), the largest
gain first. An objective is named by its class and by the options in which those of the same harness differ.

Runs of one harness may come from different revisions of this source and different machines; their records, on the
tables' pages, say which. Of many 95 % intervals some leave out the true gain: one in twenty.
`reproduce side-by-side` prints this of any records, [your own loss](../own-loss.md) among them."""

LEGEND = "Dots are seeds, the bar is their mean, the line its 95 % interval; right of the dashed line it gains."


def title(harness: Harness) -> str:
    """Return what a harness is: its network, data and profile."""
    fidelity = "" if harness.fidelity == "paper" else f", fidelity {harness.fidelity}"
    return f"{harness.network} on {harness.data}, profile {harness.profile}{fidelity}"


def headings(harness: Harness) -> tuple[str, ...]:
    """Return the columns of a harness."""
    return ("objective", _column(harness), f"gain over {BASELINE} (95 % interval)", "pairs", "it is", "rows it answers")


def cells(entrant: Entrant, linked: bool = False) -> tuple[str, ...]:
    """Return the cells of an entrant; ``linked`` to the pages of the tables, in Markdown."""
    by_table: dict[str, list[str]] = {}
    for table, row in entrant.rows:
        by_table.setdefault(table, []).append(row)
    named = {table: f"[{table}]({table}.md)" if linked else table for table in by_table}
    rows = "; ".join(f"{named[table]} {', '.join(own)}" for table, own in by_table.items())
    number = render.summary_text(entrant.summary)
    if entrant.gain is None:
        return (entrant.objective, number, "-", str(entrant.summary.n), "-", rows)
    way = WAYS[entrant.gain.outcome]
    return (entrant.objective, number, render.gain_text(entrant.gain), str(entrant.gain.pairs), way, rows)


def terminal(harness: Harness) -> RenderableType:
    """Return a harness for a rich console."""
    grid = RichTable(title=title(harness), title_justify="left", box=box.SIMPLE_HEAD)
    for heading in headings(harness):
        grid.add_column(heading)
    for entrant in harness.entrants:
        grid.add_row(*map(Text, cells(entrant)))
    return Group(grid, Text(_measured(harness), style="dim"))


def markdown(harness: Harness, linked: bool = False) -> str:
    """Return how a harness was measured and its entrants, as Markdown; ``linked`` to the pages of the tables."""
    return f"{_measured(harness)}\n\n{render.grid(headings(harness), [cells(e, linked) for e in harness.entrants])}\n"


def lines(harnesses: Sequence[Harness]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the columns and the rows of all harnesses in one table of text."""
    columns = ("harness", "metric", "objective", "mean", "std", "gain", "low", "high", "pairs", "rows it answers")
    rows = []
    for harness in harnesses:
        for entrant in harness.entrants:
            gain, summary = entrant.gain, entrant.summary
            low, high = (None, None) if gain is None or gain.interval is None else gain.interval
            difference, pairs = (None, summary.n) if gain is None else (gain.difference, gain.pairs)
            numbers = (summary.mean, summary.std, difference, low, high, pairs)
            told = ("" if number is None else str(number) for number in numbers)
            answered = " ".join(f"{table}:{row}" for table, row in entrant.rows)
            rows.append((title(harness), harness.metric.measured, entrant.objective, *told, answered))
    return columns, rows


def side_by_side_page(harnesses: Sequence[Harness]) -> dict[str, str]:
    """Return the page and its pictures, by file name."""
    parts, files = ["# Side by side", INTRODUCTION], {}
    for harness in harnesses:
        label = f"Gains by seed: {title(harness)}"
        picture = _picture(harness)
        files[picture] = plots.draw([_panel(harness)], label)
        parts += [
            f"## {title(harness)}",
            markdown(harness, linked=True),
            f"![{label}]({picture})\n\n{LEGEND}",
        ]
    if not harnesses:
        parts.append("No two objectives were run on the same harness yet.")
    return {PAGE: "\n\n".join(part.strip() for part in parts) + "\n", **files}


def _picture(harness: Harness) -> str:
    """Return the name of a harness's picture; the same as long as the same objectives stand on it."""
    of = hashlib.sha256("\n".join(sorted(f"{e.objective} {e.rows}" for e in harness.entrants)).encode()).hexdigest()
    words = f"side-by-side {harness.network} {harness.data} {harness.profile} {of[:6]}"
    return f"{words.replace(' ', '-')}.svg"


def _column(harness: Harness) -> str:
    """Return the metric with its unit, which some tables name after the metric too: mIoU (mIoU, %)."""
    return f"{harness.metric.measured} ({harness.metric.unit.removeprefix(f'{harness.metric.measured}, ')})"


def _measured(harness: Harness) -> str:
    return f"{harness.evaluation}; {harness.metric.better} is better."


def _panel(harness: Harness) -> plots.Panel:
    lines = tuple(
        plots.Line(e.objective, e.gain.outcome, harness.gains(e), e.gain.difference, e.gain.interval)
        for e in harness.entrants
        if e.gain is not None and e.gain.difference is not None
    )
    return plots.Panel(f"gain in {_column(harness)}", lines, signed=True)
