"""A table of a paper beside what the records say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from contrastbench.reproductions.ledger import Record
from contrastbench.reproductions.plan import Study
from contrastbench.reproductions.tables import Claim, Metric, Table
from contrastbench.reproductions.verdict import Ranking, Summary, Verdict, judge, rank, summarize


@dataclass(frozen=True)
class Reproduced:
    """One row under one study: by metric the values by seed, and what they say together."""

    seeds: tuple[int, ...]
    values: dict[str, dict[int, float]]
    summaries: dict[str, Summary]


@dataclass(frozen=True)
class Report:
    """A table under one study.

    ``rows`` holds the rows that have records, by id; ``verdicts`` one of each claim on this study's data, by id;
    ``rankings`` the stability of the order of rows, by metric, where at least three have records.
    ``evaluations`` says how the numbers were measured, and ``remarks`` what to know before trusting them.
    """

    table: Table
    study: Study
    rows: dict[str, Reproduced]
    verdicts: dict[str, Verdict]
    rankings: dict[str, Ranking]
    evaluations: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims that this study can answer."""
        return tuple(claim for claim in self.table.claims if claim.id in self.verdicts)

    @property
    def measured(self) -> tuple[str, ...]:
        """The columns in which something was reproduced."""
        found = {name for row in self.rows.values() for name in row.values}
        return tuple(name for name in self.table.metrics if name in found)


def make_reports(table: Table, records: Sequence[Record]) -> list[Report]:
    """Return one report for each study among the records of a table, by profile, data and so on."""
    studies = sorted({r.study for r in records}, key=lambda s: (s.profile, s.data, s.fidelity, s.overrides))
    return [make_report(table, study, [r for r in records if r.study == study]) for study in studies]


def make_report(table: Table, study: Study, records: Sequence[Record]) -> Report:
    """Set a table beside its records.

    Args:
        table: the table.
        study: what the records were run under.
        records: records of this table; of several of the same row and seed, the one that started last
            counts.
    """
    latest: dict[tuple[str, int], Record] = {}
    for record in sorted(records, key=lambda r: r.started):
        latest[record.row, record.seed] = record
    rows = {}
    for row in table.rows:
        own = {seed: record for (row_id, seed), record in sorted(latest.items()) if row_id == row.id}
        if own:
            values = {name: _values(own, m) for name, m in table.metrics.items() if m.stands_for(study.data)}
            values = {name: by_seed for name, by_seed in values.items() if by_seed}
            summaries = {name: summarize(list(by_seed.values())) for name, by_seed in values.items()}
            rows[row.id] = Reproduced(tuple(own), values, summaries)
    evaluations = {str(r.metrics["evaluation"]) for r in latest.values() if "evaluation" in r.metrics}
    return Report(
        table=table,
        study=study,
        rows=rows,
        verdicts={
            claim.id: _verdict(table, claim, rows)
            for claim in table.claims
            if table.metrics[claim.metric].stands_for(study.data)
        },
        rankings=_rankings(table, rows),
        evaluations=tuple(sorted(evaluations)),
        remarks=tuple(_remarks(list(latest.values()))),
    )


def as_data(report: Report) -> dict[str, Any]:
    """Return a report as plain data, for JSON."""
    return {
        "paper": report.table.paper,
        "table": report.table.id,
        "title": report.table.title,
        **asdict(report.study),
        "evaluations": list(report.evaluations),
        "remarks": list(report.remarks),
        "rows": [
            {
                "id": row.id,
                "name": row.name,
                "cited": row.cited,
                "runnable": row.runnable,
                "reported": row.reported,
                "reproduced": row_data(report, row.id),
            }
            for row in report.table.rows
        ],
        "rankings": {name: asdict(ranking) for name, ranking in report.rankings.items()},
        "claims": [claim_data(claim, report.verdicts[claim.id]) for claim in report.claims],
    }


def row_data(report: Report, row_id: str) -> dict[str, Any]:
    """Return the reproduced numbers of a row as plain data: by metric mean, std, n, interval and values."""
    row = report.rows.get(row_id)
    if row is None:
        return {}
    return {
        name: {**asdict(row.summaries[name]), "seeds": list(by_seed), "values": list(by_seed.values())}
        for name, by_seed in row.values.items()
    }


def claim_data(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    """Return a claim and its verdict as plain data."""
    return {**asdict(claim), "verdict": asdict(verdict)}


def _values(records: dict[int, Record], metric: Metric) -> dict[int, float]:
    # what a run cost stands beside its metrics, in fields of the record's own
    measured = {
        seed: record.metrics.get(metric.measured, getattr(record, metric.measured, None))
        for seed, record in records.items()
    }
    return {seed: float(value) / metric.divided_by for seed, value in measured.items() if value is not None}


def _verdict(table: Table, claim: Claim, rows: dict[str, Reproduced]) -> Verdict:
    better, worse = (
        rows[row].values.get(claim.metric, {}) if row in rows else {} for row in (claim.better, claim.worse)
    )
    return judge(better, worse, claim.gain, table.metrics[claim.metric].better)


def _rankings(table: Table, rows: dict[str, Reproduced]) -> dict[str, Ranking]:
    found = {}
    for name, metric in table.metrics.items():
        values = {row: reproduced.values[name] for row, reproduced in rows.items() if name in reproduced.values}
        reported = {row.id: row.reported[name] for row in table.rows if name in row.reported}
        ranking = rank(values, reported, metric.better)
        if ranking is not None:
            found[name] = ranking
    return found


def _remarks(records: Sequence[Record]) -> list[str]:
    """Say where records that stand side by side come from different conditions."""
    remarks = []
    by_row: dict[str, set[str]] = {}
    for record in records:
        by_row.setdefault(record.row, set()).add(record.source)
    mixed = sorted(row for row, sources in by_row.items() if len(sources) > 1)
    if mixed:
        remarks.append(f"seeds of different source code stand together in: {', '.join(mixed)}")
    if len({tuple(sorted(r.versions.items())) for r in records}) > 1:
        remarks.append("the records come from different versions of the libraries")
    # each kind of experiment names its data in its own way
    prints: dict[object, set[str | None]] = {}
    for record in records:
        prints.setdefault(record.config.get("_target_"), set()).add(record.fingerprint)
    if any(len(found) > 1 for found in prints.values()):
        remarks.append("the records come from different data")
    return remarks
