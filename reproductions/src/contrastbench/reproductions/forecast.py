"""What a plan would do: which runs are done, which are to run, what that costs, and how many seeds claims need."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from contrastbench.reproductions.calibrate import Trial, known_trial
from contrastbench.reproductions.launch import processes
from contrastbench.reproductions.ledger import Ledger, Record, read_records
from contrastbench.reproductions.overview import Origin
from contrastbench.reproductions.plan import Plan, Run
from contrastbench.reproductions.provenance import memory_bytes
from contrastbench.reproductions.report import make_report

Calibrate = Callable[[Run, Path], Trial]


def forecast(plan: Plan, found: Sequence[Origin], calibrate: Calibrate | None = None) -> dict[str, Any]:
    """Return a plan as plain data: each run with its id, its state, and an estimate of its cost.

    States: ``done``; ``shared`` (done as another row, or under another study); ``begun`` (it goes on from where it was
    interrupted, or another process is at it); ``to run``. The cost is that of a trial on this machine where there is
    one (``basis`` "trial"), else the mean over the records of the same row under the same study, wherever found
    ("records"), else None. ``total`` is of what is left: seconds of one process after another, ``device_hours`` of
    the same, ``wall_seconds`` with as many processes as the launcher takes, the largest memory of all processes at
    once, and the largest disk; None where a run's cost is unknown. ``claims`` says of each claim how many seeds it
    has, and would need at the gain and spread measured, and at the gain reported.

    Args:
        plan: the plan.
        found: folders of records to estimate from, beside the plan's own.
        calibrate: what tries a run; None to look at earlier trials alone. One seed of each row is tried.
    """
    ledger = Ledger(plan.records_dir, plan.runs_dir)
    folders = {plan.records_dir.resolve(), *(origin.folder.resolve() for origin in found)}
    records = [record for folder in folders for record in read_records(folder, plan.table.paper, plan.table.id)]
    states = {run.id: _state(run, ledger) for run in plan.runs}
    trials: dict[str, Trial | None] = {}
    for run in plan.runs:
        if run.row not in trials:
            first = next(r for r in plan.runs if r.row == run.row)
            left = any(states[r.id] in ("begun", "to run") for r in plan.runs if r.row == run.row)
            trials[run.row] = (
                calibrate(first, plan.runs_dir) if calibrate and left else known_trial(first, plan.runs_dir)
            )
    runs = [
        {
            "row": run.row,
            "seed": run.seed,
            "id": run.id,
            "state": states[run.id],
            **_cost(run, trials[run.row], records),
        }
        for run in plan.runs
    ]
    return {
        "paper": plan.table.paper,
        "table": plan.table.id,
        "title": plan.table.title,
        **asdict(plan.study),
        "records": str(plan.records_dir),
        "runs": runs,
        "to_run": sum(run["state"] in ("begun", "to run") for run in runs),
        "total": _total(plan, runs),
        "claims": _claims(plan, records),
    }


def _state(run: Run, ledger: Ledger) -> str:
    if ledger.own(run) is not None:
        return "done"
    if ledger.finished(run) is not None:
        return "shared"
    return "begun" if (ledger.work_dir(run) / "progress.json").exists() else "to run"


def _cost(run: Run, trial: Trial | None, records: Sequence[Record]) -> dict[str, Any]:
    if trial is not None:
        return {
            "basis": "trial",
            "seconds": round(trial.seconds, 1),
            "memory_bytes": trial.peak_memory_bytes,
            "disk_bytes": trial.disk_bytes,
        }
    like = [r for r in records if r.row == run.row and r.study == run.study]
    if not like:
        return {"basis": None, "seconds": None, "memory_bytes": None, "disk_bytes": None}
    memory = max((r.peak_memory_bytes or 0 for r in like), default=0) or None
    seconds = round(mean(r.wall_seconds for r in like), 1)
    return {"basis": "records", "seconds": seconds, "memory_bytes": memory, "disk_bytes": None}


def _total(plan: Plan, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    # rows may be one run
    left = list({run["id"]: run for run in runs if run["state"] in ("begun", "to run")}.values())
    at_once = int(plan.hydra.hydra.launcher.get("n_jobs") or 1)
    at_once = processes(plan.hydra.get("threads"), max(len(left), 1)) if at_once == -1 else max(1, at_once)
    seconds = None if any(run["seconds"] is None for run in left) else sum(run["seconds"] for run in left)
    memory = sorted((run["memory_bytes"] or 0 for run in left), reverse=True)[:at_once]
    disk = [run["disk_bytes"] or 0 for run in left]
    place = next(p for p in (plan.runs_dir, *plan.runs_dir.parents) if p.exists())
    return {
        "seconds": seconds,
        "device": str(plan.hydra.get("device")),
        "device_hours": None if seconds is None else round(seconds / 3600, 2),
        "processes": at_once,
        "wall_seconds": None if seconds is None else round(seconds / min(at_once, max(len(left), 1)), 1),
        "memory_bytes": sum(memory) or None,
        "memory_there": memory_bytes(),
        # a run's folder is emptied when it is recorded, unless its weights are kept
        "disk_bytes": (sum(disk) if plan.keep_weights else max(disk, default=0) * at_once) or None,
        "disk_free": shutil.disk_usage(place).free,
    }


def _claims(plan: Plan, records: Sequence[Record]) -> list[dict[str, Any]]:
    report = make_report(plan.table, plan.study, [r for r in records if r.study == plan.study])
    return [
        {
            "id": claim.id,
            "reported_gain": claim.gain,
            "outcome": report.verdicts[claim.id].outcome,
            "seeds": report.verdicts[claim.id].pairs,
            "seeds_needed": report.verdicts[claim.id].seeds_needed,
            "seeds_at_reported": report.verdicts[claim.id].seeds_at_reported,
        }
        for claim in report.claims
    ]
