"""What there is: tables with their counts, and one table with all that is known of it, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contrastbench.core.errors import InputError
from contrastbench.reproductions.ledger import read_records
from contrastbench.reproductions.locate import published_dir
from contrastbench.reproductions.report import claim_data, make_reports, row_data
from contrastbench.reproductions.tables import Table


@dataclass(frozen=True)
class Origin:
    """A folder of records, and what to call it."""

    name: str
    folder: Path


def origins(folder: Path | None) -> list[Origin]:
    """Return where records are looked for: a folder the user named, else the published and the local ones.

    Raises:
        InputError: if the folder the user named does not exist.
    """
    if folder is not None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of records")
        return [Origin("named", folder)]
    places = [Origin("published", published_dir()), Origin("local", Path("runs", "records"))]
    return [origin for origin in places if origin.folder.is_dir()]


def list_tables(tables: Sequence[Table], found: Sequence[Origin]) -> list[dict[str, Any]]:
    """Return one object a table: paper, table, title, and the counts of what it holds."""
    return [
        {
            "paper": table.paper,
            "table": table.id,
            "title": table.title,
            "rows": len(table.rows),
            "runnable": len(table.runnable),
            "cited": sum(row.cited for row in table.rows),
            "claims": len(table.claims),
            "records": sum(len(read_records(o.folder, table.paper, table.id)) for o in found),
        }
        for table in tables
    ]


def describe(table: Table, found: Sequence[Origin]) -> dict[str, Any]:
    """Return a table with its rows and claims, and for each study on record what was reproduced."""
    reports = [
        (origin, report)
        for origin in found
        for report in make_reports(table, read_records(origin.folder, table.paper, table.id))
    ]
    studies = [{"records": origin.name, **asdict(report.study)} for origin, report in reports]
    (counts,) = list_tables([table], found)
    return {
        **counts,
        "source": asdict(table.source),
        "data": table.data,
        "metrics": {name: asdict(metric) for name, metric in table.metrics.items()},
        "notes": list(table.notes),
        "rows": [
            {
                "id": row.id,
                "name": row.name,
                "settings": row.settings,
                "reported": row.reported,
                "gains": [asdict(gain) for gain in row.gains],
                "reference": row.reference,
                "cited": row.cited,
                "runnable": row.runnable,
                "run": None if row.run is None else list(row.run),
                "note": row.note,
                "reproduced": [
                    {**study, "metrics": row_data(report, row.id)}
                    for study, (_, report) in zip(studies, reports, strict=True)
                    if row.id in report.rows
                ],
            }
            for row in table.rows
        ],
        "claims": [
            {
                **asdict(claim),
                "verdicts": [
                    {**study, **claim_data(claim, report.verdicts[claim.id])["verdict"]}
                    for study, (_, report) in zip(studies, reports, strict=True)
                    if claim.id in report.verdicts
                ],
            }
            for claim in table.claims
        ],
    }
