"""Two sets of results side by side, row by row: are they the same, and if not, by how much do they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contrastbench.reproductions.ledger import Record
from contrastbench.reproductions.plan import Study
from contrastbench.reproductions.report import Report, make_reports
from contrastbench.reproductions.tables import Table, all_tables
from contrastbench.reproductions.verdict import Interval, Summary, summarize


@dataclass(frozen=True)
class Comparison:
    """One row and metric in both sets: ``second`` minus ``first``, over the seeds that both have.

    ``identical`` says that there are such seeds and all their values are the same to the last bit. ``interval`` is
    that of the mean difference, None for fewer than two seeds.
    """

    table: str
    study: Study
    row: str
    metric: str
    first: Summary
    second: Summary
    shared_seeds: int
    difference: float | None
    interval: Interval | None
    identical: bool


def compare(first: Sequence[Record], second: Sequence[Record], papers: Path | None = None) -> list[Comparison]:
    """Return every row and metric that both sets have under the same study, in the order of the papers' tables.

    Args:
        first: records.
        second: records.
        papers: folder of tables of one's own.
    """
    found = []
    for table in all_tables(papers):
        sides = [_by_study(table, records) for records in (first, second)]
        for study, report in sides[0].items():
            if study in sides[1]:
                found += _compared(table, study, report, sides[1][study])
    return found


def _by_study(table: Table, records: Sequence[Record]) -> dict[Study, Report]:
    own = [record for record in records if (record.paper, record.table) == (table.paper, table.id)]
    return {report.study: report for report in make_reports(table, own)}


def _compared(table: Table, study: Study, first: Report, second: Report) -> list[Comparison]:
    found = []
    for row in table.rows:
        if row.id not in first.rows or row.id not in second.rows:
            continue
        ours, theirs = first.rows[row.id], second.rows[row.id]
        for metric in table.metrics:
            if metric in ours.values and metric in theirs.values:
                seeds = sorted(ours.values[metric].keys() & theirs.values[metric].keys())
                differences = [theirs.values[metric][seed] - ours.values[metric][seed] for seed in seeds]
                whole = summarize(differences) if differences else None
                found.append(
                    Comparison(
                        table=table.name,
                        study=study,
                        row=row.id,
                        metric=metric,
                        first=ours.summaries[metric],
                        second=theirs.summaries[metric],
                        shared_seeds=len(seeds),
                        difference=None if whole is None else whole.mean,
                        interval=None if whole is None else whole.interval,
                        identical=bool(differences) and not any(differences),
                    )
                )
    return found
