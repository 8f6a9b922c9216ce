"""What a plan would do: which runs are done, which are to run, and how long that took before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import mean
from typing import Any

from contrastbench.reproductions.ledger import Ledger, Record, read_records
from contrastbench.reproductions.overview import Origin
from contrastbench.reproductions.plan import Plan, Run


def forecast(plan: Plan, found: Sequence[Origin]) -> dict[str, Any]:
    """Return a plan as plain data: each run with its id, its state, and an estimate of its cost.

    States: ``done``; ``shared`` (done as a row of another table); ``begun`` (it goes on from where it was
    interrupted, or another process is at it); ``to run``. Seconds are the mean over the records of the same
    row under the same study, wherever found; None where there are none.

    Args:
        plan: the plan.
        found: folders of records to estimate from, beside the plan's own.
    """
    ledger = Ledger(plan.records_dir, plan.runs_dir)
    folders = {plan.records_dir.resolve(), *(origin.folder.resolve() for origin in found)}
    records = [record for folder in folders for record in read_records(folder, plan.table.paper, plan.table.id)]
    runs = [
        {
            "row": run.row,
            "seed": run.seed,
            "id": run.id,
            "state": _state(run, ledger),
            "estimated_seconds": _seconds(run, records),
        }
        for run in plan.runs
    ]
    left = [r["estimated_seconds"] for r in runs if r["state"] in ("begun", "to run")]
    return {
        "paper": plan.table.paper,
        "table": plan.table.id,
        "title": plan.table.title,
        **asdict(plan.study),
        "records": str(plan.records_dir),
        "runs": runs,
        "to_run": len(left),
        "estimated_seconds": None if None in left else sum(left),
    }


def _state(run: Run, ledger: Ledger) -> str:
    if ledger.own(run) is not None:
        return "done"
    if ledger.finished(run) is not None:
        return "shared"
    return "begun" if (ledger.work_dir(run) / "progress.json").exists() else "to run"


def _seconds(run: Run, records: Sequence[Record]) -> float | None:
    spent = [r.wall_seconds for r in records if r.row == run.row and r.study == run.study]
    return round(mean(spent), 1) if spent else None
