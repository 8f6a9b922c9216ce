"""Rendering: a report as a table for the terminal, and as Markdown for pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from contrastbench.reproductions.compare import Comparison
from contrastbench.reproductions.plan import Study
from contrastbench.reproductions.report import Report
from contrastbench.reproductions.tables import Claim, Row, Table
from contrastbench.reproductions.verdict import MOST_SEEDS, Summary, Verdict

COLOURS = {"reproduced": "green", "contradicted": "red", "undecided": "yellow", "not run": "dim"}


def terminal(report: Report) -> RenderableType:
    """Return a report for a rich console."""
    rows = RichTable(title=heading(report), title_justify="left", box=box.SIMPLE_HEAD)
    _, *numbers = row_headings(report)
    rows.add_column("row")
    for column in numbers:
        rows.add_column(column, justify="right" if column not in report.table.settings else "left")
    for cells in row_cells(report):
        rows.add_row(*(Text(cell) for cell in cells))
    parts: list[RenderableType] = [rows]
    if report.claims:
        claims = RichTable(title="claims", title_justify="left", box=box.SIMPLE_HEAD)
        for column in CLAIM_HEADINGS:
            claims.add_column(column)
        for claim in report.claims:
            verdict = report.verdicts[claim.id]
            *told, outcome = claim_cells(report.table, claim, verdict)
            claims.add_row(*map(Text, told), Text(outcome, style=COLOURS[verdict.outcome]))
        parts.append(claims)
    parts += [Text(note, style="dim") for note in notes(report)]
    return Group(*parts)


def markdown(report: Report) -> str:
    """Return a report as Markdown: a heading line, the rows, the claims, the notes."""
    parts = [f"**{heading(report)}**", grid(row_headings(report), row_cells(report))]
    if report.claims:
        cells = [claim_cells(report.table, c, report.verdicts[c.id]) for c in report.claims]
        parts.append(grid(CLAIM_HEADINGS, cells))
    parts += [f"{note}" for note in notes(report)]
    return "\n\n".join(parts) + "\n"


def reported_markdown(table: Table) -> str:
    """Return a table as the paper has it, as Markdown."""
    headings = ("row", *table.settings, *(f"{m.name} ({m.unit})" for m in table.reported), "run by")
    return grid(headings, [_reported_cells(table, row) for row in table.rows])


CAVEATS = {
    "cpu": "Numbers of the cpu profile are not comparable with the paper's in absolute terms; what they answer is "
    "which row beats which.",
    "smoke": "Numbers of the smoke profile mean nothing: they come from two iterations, to see that all runs.",
    "gpu": "Numbers of the gpu profile come from half the paper's resolution.",
}
"""What to know of a profile's numbers."""

CLAIM_HEADINGS = ("claim", "reported gain", "measured gain (95 % interval)", "pairs", "verdict")


def heading(report: Report) -> str:
    """Return what a report is of: never a number without its profile, data set and fidelity."""
    return f"{report.table.name}: {report.table.title} [{study_text(report.study)}]"


def study_text(study: Study) -> str:
    """Return a study in words."""
    parts = [f"profile {study.profile}", f"data {study.data}", f"fidelity {study.fidelity}"]
    return ", ".join([*parts, *study.overrides])


def row_headings(report: Report) -> tuple[str, ...]:
    """Return the columns of a report's rows: the paper's own, then what was reproduced."""
    table = report.table
    reported = [f"reported {m.name} ({m.unit})" for m in table.reported]
    reproduced = [f"reproduced {name} ({table.metrics[name].unit})" for name in report.measured]
    return ("row", *table.settings, *reported, *reproduced, "seeds")


def row_cells(report: Report) -> list[tuple[str, ...]]:
    """Return the cells of a report's rows, in the order of the paper."""
    return [_row_cells(report, row) for row in report.table.rows]


def _row_cells(report: Report, row: Row) -> tuple[str, ...]:
    reproduced = report.rows.get(row.id)
    summaries = {} if reproduced is None else reproduced.summaries
    name = f"{row.name} {row.reference}" if row.reference and row.reference not in row.name else row.name
    return (
        name,
        *(row.settings.get(column, "-") for column in report.table.settings),
        *(reported_text(report.table, row, metric.name) for metric in report.table.reported),
        *(
            summary_text(summaries.get(metric), own_decimals(report.table, metric, report))
            for metric in report.measured
        ),
        "cited" if row.cited else "-" if reproduced is None else str(len(reproduced.seeds)),
    )


def reported_text(table: Table, row: Row, metric: str) -> str:
    """Return a reported number as the paper prints it, with its gain."""
    value = row.reported.get(metric)
    if value is None:
        return "-"
    decimals = _decimals(table, metric)
    gain = "".join(f" ({gain.value:+.{decimals}f})" for gain in row.gains if gain.metric == metric)
    return f"{value:.{decimals}f}{gain}"


def _decimals(table: Table, metric: str) -> int:
    """Return how many decimals a column is printed with: as many as its finest number has."""
    return max((len(str(r.reported[metric]).partition(".")[2]) for r in table.rows if metric in r.reported), default=0)


def own_decimals(table: Table, metric: str, report: Report | None = None) -> int:
    """Return our decimals: two of points, of others three below 2 and four below 0.2; never fewer than are printed.

    Args:
        table: the table.
        metric: a column of it.
        report: where it is given, what was measured says how large the numbers are, else what was reported.
    """
    decimals = 2
    if "%" not in table.metrics[metric].unit:
        found = [abs(row.reported[metric]) for row in table.rows if metric in row.reported]
        if report is not None:
            found = [abs(row.summaries[metric].mean) for row in report.rows.values() if metric in row.values]
        largest = max(found, default=100.0)
        decimals += (largest < 2) + (largest < 0.2)
    return max(decimals, _decimals(table, metric))


def row_name(table: Table, row: Row) -> str:
    """Return a row's name, with its settings where other rows have the same name."""
    alike = [other for other in table.rows if other.name == row.name]
    differing = [key for key in row.settings if len({other.settings.get(key) for other in alike}) > 1]
    told = ", ".join(f"{key} {row.settings[key]}" for key in differing)
    return f"{row.name} ({told})" if told else row.name


def summary_text(summary: Summary | None, decimals: int = 2) -> str:
    """Return mean ± standard deviation, or the single value."""
    if summary is None:
        return "-"
    mean = f"{summary.mean:.{decimals}f}"
    return mean if summary.std is None else f"{mean} ± {summary.std:.{decimals}f}"


def claim_cells(table: Table, claim: Claim, verdict: Verdict) -> tuple[str, ...]:
    """Return the cells of one claim, the verdict last."""
    better, worse = (row_name(table, table.row(row)) for row in (claim.better, claim.worse))
    metric = f", {claim.metric}" if len(table.metrics) > 1 else ""
    return (
        f"{better} over {worse}{metric}",
        f"{claim.gain:+.{_decimals(table, claim.metric)}f}",
        gain_text(verdict, own_decimals(table, claim.metric)),
        str(verdict.pairs),
        verdict_text(verdict),
    )


def gain_text(verdict: Verdict, decimals: int = 2) -> str:
    """Return the measured gain with its interval."""
    if verdict.difference is None:
        return "-"
    gain = f"{verdict.difference:+.{decimals}f}"
    if verdict.interval is None:
        return gain
    low, high = verdict.interval
    return f"{gain} ({low:+.{decimals}f} to {high:+.{decimals}f})"


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict in words, with what would decide it, or how the reported gain compares."""
    if verdict.outcome == "not run":
        return "not run"
    if verdict.outcome == "undecided":
        if verdict.pairs < 2:
            return "undecided; one seed says nothing of the spread"
        if verdict.std == 0:
            return "undecided; the rows are the same in every seed"
        now, told = (_seeds_text(n) for n in (verdict.seeds_needed, verdict.seeds_at_reported))
        return f"undecided; {now} seeds at this gain and spread, {told} at the reported gain"
    inside = "holds" if verdict.reported_inside else "leaves out"
    return f"{verdict.outcome}; the interval {inside} the reported gain"


def _seeds_text(seeds: int | None) -> str:
    return f"more than {MOST_SEEDS}" if seeds is None else str(seeds)


def ranking_text(report: Report, metric: str) -> str:
    """Return how stable the order of rows is, in words."""
    ranking = report.rankings[metric]
    best = row_name(report.table, report.table.row(ranking.best))
    between = "" if ranking.between_seeds is None else f", {ranking.between_seeds:+.2f} between seeds"
    return (
        f"{metric}, order of {ranking.rows} rows: Kendall's tau {ranking.agreement:+.2f} with the paper's{between}; "
        f"the best by mean, {best}, is the best in {ranking.best_in} of {ranking.seeds} seeds"
    )


def notes(report: Report) -> list[str]:
    """Return what has to be known to read a report."""
    table = report.table
    by_evaluator: dict[str, list[str]] = {}
    for metric in table.reported:
        by_evaluator.setdefault(metric.evaluator, []).append(metric.name)
    measures = [f"Reported: {', '.join(names)} on {table.data}, {how}." for how, names in by_evaluator.items()]
    lines = [
        " ".join(measures),
        f"Reproduced: profile {report.study.profile} on {report.study.data}"
        + (f", {'; '.join(report.evaluations)}" if report.evaluations else "")
        + "; mean ± standard deviation over seeds, gains paired by seed.",
    ]
    own = [table.metrics[name] for name in report.measured if table.metrics[name] not in table.reported]
    if own:
        lines.append(f"Measured here alone: {'; '.join(f'{m.name}, {m.evaluator}' for m in own)}.")
    if report.study.profile in CAVEATS:
        lines.append(CAVEATS[report.study.profile])
    # of the first column alone: that of the others is in the data
    lines += [f"Ranking by {ranking_text(report, metric)}." for metric in list(report.rankings)[:1]]
    return lines + [f"Note: {remark}." for remark in report.remarks]


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def listing(tables: Sequence[dict[str, Any]]) -> RenderableType:
    """Return the list of tables for a rich console."""
    grid = RichTable(box=box.SIMPLE_HEAD)
    columns = ("table", "title", "rows", "runnable", "cited", "claims", "records")
    for column in columns:
        words = column in ("table", "title")
        grid.add_column(column, justify="left" if words else "right", no_wrap=column != "title")
    for table in tables:
        name = f"{table['paper']}/{table['table']}"
        grid.add_row(name, *(Text(str(table[column])) for column in columns[1:]))
    return grid


def paper_table(table: Table) -> RenderableType:
    """Return a table as the paper has it, for a rich console: rows by id, what runs them, claims, notes."""
    grid = RichTable(title=f"{table.name}: {table.title}", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("id", "row", *table.settings, *(f"{m.name} ({m.unit})" for m in table.reported)):
        grid.add_column(column)
    grid.add_column("run by")
    for row in table.rows:
        grid.add_row(row.id, *map(Text, _reported_cells(table, row)))
    claims = [Text(f"claim {c.id} ({c.gain:+.{_decimals(table, c.metric)}f}): {c.sentence}") for c in table.claims]
    source = Text(f"From the {table.source.place}; {table.data}.", style="dim")
    return Group(grid, *claims, source, *(Text(f"Note: {note}", style="dim") for note in table.notes))


def _reported_cells(table: Table, row: Row) -> tuple[str, ...]:
    how = " ".join(row.run) if row.run is not None else f"cited {row.reference}" if row.cited else "-"
    settings = (row.settings.get(column, "-") for column in table.settings)
    return (row.name, *settings, *(reported_text(table, row, metric.name) for metric in table.reported), how)


def forecast(expected: dict[str, Any]) -> RenderableType:
    """Return what a plan would do, for a rich console."""
    study = Study(expected["profile"], expected["data"], expected["fidelity"], expected["overrides"])
    title = f"{expected['paper']}/{expected['table']}: {expected['title']} [{study_text(study)}]"
    grid = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("row", "seed", "run", "state", "time", "memory", "by"):
        grid.add_column(column)
    for run in expected["runs"]:
        left = run["state"] in ("begun", "to run")
        cost = (
            (duration_text(run["seconds"]), size_text(run["memory_bytes"]), run["basis"] or "-") if left else ("-",) * 3
        )
        grid.add_row(run["row"], str(run["seed"]), run["id"], run["state"], *cost)
    parts: list[RenderableType] = [grid, Text(_total_text(expected))]
    if expected["to_run"] and expected["total"]["seconds"] is None:
        parts.append(Text("Some rows were never run here; plan --calibrate tries them.", style="dim"))
    if expected["claims"]:
        claims = RichTable(title="seeds that claims need", title_justify="left", box=box.SIMPLE_HEAD)
        for column in ("claim", "so far", "seeds", "at the gain measured", "at the gain reported"):
            claims.add_column(column)
        for claim in expected["claims"]:
            undecided = claim["outcome"] == "undecided" and claim["seeds"] > 1
            needed = [_seeds_text(claim[k]) if undecided else "-" for k in ("seeds_needed", "seeds_at_reported")]
            claims.add_row(claim["id"], claim["outcome"], str(claim["seeds"]), *needed)
        parts.append(claims)
    return Group(*parts)


def _total_text(expected: dict[str, Any]) -> str:
    total = expected["total"]
    hours = "unknown" if total["device_hours"] is None else f"{total['device_hours']:g} hours of {total['device']}"
    return (
        f"{expected['to_run']} of {len(expected['runs'])} to run: {hours}; {duration_text(total['wall_seconds'])} with "
        f"{total['processes']} at once; memory {size_text(total['memory_bytes'])} of "
        f"{size_text(total['memory_there'])}; "
        f"disk {size_text(total['disk_bytes'])} of {size_text(total['disk_free'])} free"
    )


def size_text(size: int | None) -> str:
    """Return a number of bytes in words."""
    return "unknown" if size is None else f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def comparison_cells(
    found: Sequence[Comparison], first: str, second: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the columns and the rows of a comparison of two sets of results, as text."""
    headings = ("table", "study", "row", "metric", first, second, "second minus first (95 % interval)", "shared seeds")
    rows: list[tuple[str, ...]] = []
    for one in found:
        if one.identical:
            difference = "identical"
        elif one.difference is None:
            difference = "-"
        elif one.interval is None:
            difference = f"{one.difference:+.3f}"
        else:
            difference = f"{one.difference:+.3f} ({one.interval[0]:+.3f} to {one.interval[1]:+.3f})"
        sides = (summary_text(one.first), summary_text(one.second))
        seeds = str(one.shared_seeds)
        rows.append((one.table, study_text(one.study), one.row, one.metric, *sides, difference, seeds))
    return headings, rows


def comparison(found: Sequence[Comparison], first: str, second: str) -> RenderableType:
    """Return a comparison of two sets of results, for a rich console."""
    headings, rows = comparison_cells(found, first, second)
    grid = RichTable(box=box.SIMPLE_HEAD)
    for heading in headings:
        grid.add_column(heading)
    for cells in rows:
        grid.add_row(*map(Text, cells))
    return grid


def duration_text(seconds: float | None) -> str:
    """Return a duration in words, ``unknown`` where there is nothing to go by."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def pairs(found: dict[str, Any], prefix: str = "") -> RenderableType:
    """Return names and values line by line, for a rich console."""
    lines: list[RenderableType] = []
    for key, value in found.items():
        if isinstance(value, dict):
            lines.append(pairs(value, f"{prefix}{key}."))
        else:
            lines.append(Text(f"{prefix}{key}: {'-' if value is None else value}"))
    return Group(*lines)
