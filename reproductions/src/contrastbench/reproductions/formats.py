"""Results as files that other programs read: comma-separated values, one line a number."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from contrastbench.reproductions.report import Report

COLUMNS = (
    "paper", "table", "profile", "data", "fidelity", "overrides", "row", "metric", "unit", "reported", "mean", "std",
    "low", "high", "seeds",
)  # fmt: skip


def as_csv(reports: Sequence[Report]) -> str:
    """Return one line for each row and metric: reported beside reproduced, empty where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for report in reports:
        table, study = report.table, report.study
        about = (table.paper, table.id, study.profile, study.data, study.fidelity, " ".join(study.overrides))
        for row in table.rows:
            reproduced = report.rows.get(row.id)
            for name, metric in table.metrics.items():
                summary = None if reproduced is None else reproduced.summaries.get(name)
                reported = row.reported.get(name)
                if summary is None and reported is None:
                    continue
                low, high = (None, None) if summary is None or summary.interval is None else summary.interval
                numbers = (None, None, None) if summary is None else (summary.mean, summary.std, summary.n)
                mean, std, n = numbers
                writer.writerow((*about, row.id, name, metric.unit, reported, mean, std, low, high, n))
    return out.getvalue()


def csv_text(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of text as comma-separated values."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([headings, *rows])
    return out.getvalue().rstrip("\n")
