"""The pages above the tables: all tables, all claims, and one page a paper; and the status in the README."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from contrastbench.reproductions import render
from contrastbench.reproductions.report import Report
from contrastbench.reproductions.tables import Paper, Table
from contrastbench.reproductions.verdict import Verdict

OUTCOMES = ("reproduced", "contradicted", "undecided", "not run")
NOT_RUN = Verdict("not run", 0)
Reports = Mapping[str, Sequence[Report]]
"""The reports of each table, by its name; none where it has no records."""


def all_tables_page(tables: Sequence[Table], reports: Reports) -> str:
    """Return the index: a line for each table and study."""
    headings = ("table", "paper", "title", "rows run here", "profile", "data", "seeds", *OUTCOMES)
    lines = []
    for table in tables:
        told = (
            f"[{table.id}]({table.paper}/{table.id}.md)",
            table.paper,
            table.title,
            f"{len(table.runnable)} of {len(table.rows)}",
        )
        for report in reports[table.name]:
            counts = _outcomes(report)
            study = (report.study.profile, _data_text(report), _seeds(report))
            lines.append((*told, *study, *(str(counts[outcome]) for outcome in OUTCOMES)))
        if not reports[table.name]:
            lines.append((*told, "-", "-", "-", "0", "0", "0", str(len(table.claims))))
    papers = "\n".join(f"{paper}/index" for paper in dict.fromkeys(t.paper for t in tables))
    return _joined(
        "# Results",
        "Every table of the four papers. A line is a table under one profile and data set; the last columns count the "
        "claims the table makes by how they came out there. [All claims](claims.md) are on a page of their own, "
        "and so are [all objectives on one harness](side-by-side.md), whichever paper they come from.",
        _totals(tables, reports),
        render.grid(headings, lines),
        f"```{{toctree}}\n:maxdepth: 2\n:hidden:\n\nclaims\nside-by-side\n{papers}\n```",
    )


def claims_page(tables: Sequence[Table], reports: Reports) -> str:
    """Return the page of all claims: each under each study, then those that were not run."""
    lines: list[tuple[str, ...]] = []
    not_run: list[tuple[str, ...]] = []
    for table in tables:
        link = f"[{table.id}]({table.paper}/{table.id}.md)"
        for claim in table.claims:
            studies = [r for r in reports[table.name] if claim.id in r.verdicts]
            for report in studies:
                verdict = report.verdicts[claim.id]
                told, *numbers, _ = render.claim_cells(table, claim, verdict)
                study = (report.study.profile, _data_text(report))
                line = (told, verdict.outcome, *numbers, table.paper, link, *study)
                (lines if verdict.pairs else not_run).append(line)
            if not studies:
                told, *numbers, _ = render.claim_cells(table, claim, NOT_RUN)
                not_run.append((told, "not run", *numbers, table.paper, link, "-", "-"))
    numbers_told = ("reported gain", "measured gain (95 % interval)", "pairs")
    headings = ("claim", "verdict", *numbers_told, "paper", "table", "profile", "data")
    return _joined(
        "# All claims",
        "A claim is a sentence of a paper that one row of a table beats another; its words stand on the table's page. "
        "It is judged once on each data set it was run on; [how](../measuring.md).",
        status(tables, reports),
        render.grid(headings, lines + not_run),
    )


def paper_page(paper: Paper, tables: Sequence[Table], reports: Reports) -> str:
    """Return the page of a paper's results: where it appeared, its tables, its oddities."""
    entries = "\n".join(f"{table.id} <{table.id}>" for table in tables)
    lines = []
    for table in tables:
        counts: Counter[str] = sum((_outcomes(report) for report in reports[table.name]), Counter())
        studies = ", ".join(f"{r.study.profile} on {_data_text(r)}" for r in reports[table.name]) or "-"
        rows = f"{len(table.runnable)} of {len(table.rows)}"
        lines.append((f"[{table.id}]({table.id}.md)", table.title, rows, studies, counts_text(counts) or "-"))
    code = f" The authors' code: <{paper.code}>." if paper.code else ""
    parts = [
        f"# {paper.id}",
        f"*{paper.title}*. {', '.join(paper.authors)}. {paper.venue} {paper.year}.{code}",
        render.grid(("table", "title", "rows run here", "runs on record", "claims"), lines),
    ]
    if paper.notes:
        parts.append("## To know when reading its numbers\n\n" + "\n".join(f"- {note}" for note in paper.notes))
    return _joined(*parts, f"```{{toctree}}\n:maxdepth: 1\n:hidden:\n\n{entries}\n```")


def status(tables: Sequence[Table], reports: Reports, prefix: str = "") -> str:
    """Return the status: for each paper and profile the tables and rows with records, and the claims by outcome.

    Args:
        tables: all tables.
        reports: their reports.
        prefix: what comes before a paper's page in its link.
    """
    headings = ("paper", "profile", "tables run", "rows run", "reproduced", "contradicted", "undecided")
    lines = []
    for paper in dict.fromkeys(table.paper for table in tables):
        own = [table for table in tables if table.paper == paper]
        link = f"[{paper}]({prefix}{paper}/index.md)"
        can = sum(len(table.runnable) for table in own)
        found = [report for table in own for report in reports[table.name]]
        for profile in sorted({report.study.profile for report in found}):
            of = [report for report in found if report.study.profile == profile]
            rows = {(report.table.name, row) for report in of for row in report.rows}
            counts = sum((_outcomes(report) for report in of), Counter())
            tables_run = f"{len({report.table.name for report in of})} of {len(own)}"
            outcomes = (str(counts[outcome]) for outcome in OUTCOMES[:3])
            lines.append((link, profile, tables_run, f"{len(rows)} of {can}", *outcomes))
        if not found:
            lines.append((link, "-", f"0 of {len(own)}", f"0 of {can}", "0", "0", "0"))
    return render.grid(headings, lines) + (
        "\n\nRows are counted of those that can be run here, claims once on each data set they were run on."
    )


def counts_text(counts: Mapping[str, int]) -> str:
    """Return how many claims came out which way, in words."""
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts.get(outcome))


def _totals(tables: Sequence[Table], reports: Reports) -> str:
    counts: Counter[str] = sum((_outcomes(r) for table in tables for r in reports[table.name]), Counter())
    rows = sum(len(table.rows) for table in tables)
    can = sum(len(table.runnable) for table in tables)
    claims = sum(len(table.claims) for table in tables)
    judged = {(t.name, c) for t in tables for r in reports[t.name] for c, v in r.verdicts.items() if v.pairs}
    del counts["not run"]
    told = counts_text(counts) or "none yet"
    return (
        f"{len(tables)} tables, {rows} rows, of which {can} can be run here, and {claims} claims, of which "
        f"{len(judged)} have been put to the test. Verdicts over all data sets: {told}."
    )


def _outcomes(report: Report) -> Counter[str]:
    return Counter(verdict.outcome for verdict in report.verdicts.values())


def _seeds(report: Report) -> str:
    counts = sorted({len(row.seeds) for row in report.rows.values()})
    return "-".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))


def _data_text(report: Report) -> str:
    fidelity = [] if report.study.fidelity == "paper" else [f"fidelity {report.study.fidelity}"]
    return ", ".join([report.study.data, *fidelity, *report.study.overrides])


def _joined(*parts: str) -> str:
    return "\n\n".join(part.strip() for part in parts) + "\n"
