"""The results as pages: one for each table, an index of them, and the status in the README. From records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from contrastbench.core.errors import InputError
from contrastbench.reproductions import render
from contrastbench.reproductions.ledger import Record, read_records
from contrastbench.reproductions.report import Report, make_reports
from contrastbench.reproductions.tables import Table, all_tables

BEGIN, END = "<!-- status: begin -->", "<!-- status: end -->"


def pages(records: Path) -> dict[str, str]:
    """Return every results page by its path within the results folder.

    Args:
        records: folder of records.
    """
    tables = all_tables(None)
    found = {table.name: read_records(records, table.paper, table.id) for table in tables}
    told = {f"{table.paper}/{table.id}.md": _page(table, found[table.name]) for table in tables}
    entries = "\n".join(sorted(path.removesuffix(".md") for path in told))
    index = f"# Results\n\n{status(records)}\n\n```{{toctree}}\n:maxdepth: 1\n:hidden:\n\n{entries}\n```\n"
    return {"index.md": index, **told}


def status(records: Path, prefix: str = "") -> str:
    """Return the status table: each table of each paper, and how its claims stand in each study on record.

    Args:
        records: folder of records.
        prefix: what comes before a table's page in its link.
    """
    lines = ["| table | rows run here | study | seeds | claims |", "| --- | --- | --- | --- | --- |"]
    for table in all_tables(None):
        link = f"[{table.name}]({prefix}{table.paper}/{table.id}.md)"
        rows = f"{len(table.runnable)} of {len(table.rows)}"
        reports = make_reports(table, read_records(records, table.paper, table.id))
        if not reports:
            lines.append(f"| {link} | {rows} | - | - | not run |")
        for report in reports:
            seeds = sorted({len(row.seeds) for row in report.rows.values()})
            told = "-".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1])))
            lines.append(f"| {link} | {rows} | {render.study_text(report.study)} | {told} | {_outcomes(report)} |")
    return "\n".join(lines)


def with_status(readme: str, records: Path, prefix: str) -> str:
    """Return a README with its status table written anew.

    Raises:
        InputError: it has no place for the table.
    """
    if BEGIN not in readme or END not in readme:
        raise InputError(f"the README has no place for the status; put {BEGIN} and {END} around it")
    head, _, rest = readme.partition(BEGIN)
    return f"{head}{BEGIN}\n{status(records, prefix)}\n{END}{rest.partition(END)[2]}"


def write(folder: Path, readme: Path | None, records: Path) -> list[Path]:
    """Write all pages, and the README's status where one is given; return what was written.

    Args:
        folder: the results folder of the docs; pages of tables that are gone are removed.
        readme: the README, which links to that folder.
        records: folder of records.
    """
    written = []
    told = pages(records)
    for stale in set(folder.rglob("*.md")) - {folder / path for path in told}:
        stale.unlink()
    for path, text in told.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        written.append(folder / path)
    if readme is not None:
        prefix = f"{folder.resolve().relative_to(readme.resolve().parent).as_posix()}/"
        readme.write_text(with_status(readme.read_text(encoding="utf-8"), records, prefix), encoding="utf-8")
        written.append(readme)
    return written


def _page(table: Table, records: Sequence[Record]) -> str:
    parts = [
        f"# {table.paper}, {table.id}: {table.title}",
        f"From the {table.source.place}; {table.data}.",
    ]
    for report in make_reports(table, records):
        run = " ".join([f"profile={report.study.profile}", f"data={report.study.data}", *report.study.overrides])
        parts.append(f"## {report.study.profile} on {report.study.data}, fidelity {report.study.fidelity}")
        parts.append(render.markdown(report))
        parts.append(f"```\nnox -s reproduce-table -- {table.name} {run} fidelity={report.study.fidelity}\n```")
    parts.append("## As reported\n\n" + render.reported_markdown(table))
    if not table.runnable:
        parts.append("No row of this table can be run yet.")
    parts += [f"Note: {note}" for note in table.notes]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _outcomes(report: Report) -> str:
    counts = Counter(verdict.outcome for verdict in report.verdicts.values())
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())) or "none made"
