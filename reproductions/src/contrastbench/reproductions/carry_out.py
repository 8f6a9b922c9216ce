"""Carrying out a plan: what is finished is taken over, the rest is launched, shared with whoever else runs."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from contrastbench.reproductions.launch import launch
from contrastbench.reproductions.ledger import Ledger, Record
from contrastbench.reproductions.plan import Plan, Run
from contrastbench.reproductions.progress import Watch


@dataclass(frozen=True)
class Failure:
    """A run that ended in an error, or all of those that a launcher failed on (``run`` is None)."""

    run: Run | None
    message: str
    is_input_error: bool


@dataclass(frozen=True)
class Carried:
    """How a plan was carried out: the records of its runs, and what failed."""

    records: tuple[Record, ...]
    failures: tuple[Failure, ...]


def carry_out(plan: Plan, console: Console) -> Carried:
    """Run what is missing of a plan, inside the ``hydra_session`` it was made in.

    A failing run does not stop the others. Runs that another process is at are left to it, and waited for
    only once nothing else is left to do.

    Args:
        plan: the plan.
        console: where progress is shown.

    Raises:
        InputError: if the folders cannot be written to.
    """
    ledger = Ledger(plan.records_dir, plan.runs_dir)
    ledger.check_writable()
    if not plan.keep_weights:
        for run in plan.runs:
            ledger.prune_leftover(run)
    # rows may ask for the same run; seed by seed, so that what is done at any time can be compared
    missing = sorted((run for run in plan.runs if ledger.adopt(run) is None), key=lambda run: run.seed)
    todo = list({run.id: run for run in missing}.values())
    failures: list[Failure] = []
    if todo:
        with Watch(todo, ledger, console):
            busy = _launched(plan, todo, failures, wait=False)
            if busy:
                _launched(plan, busy, failures, wait=True)
    records = [record for run in plan.runs if (record := ledger.adopt(run)) is not None]
    return Carried(tuple(records), tuple(failures))


def _launched(plan: Plan, runs: list[Run], failures: list[Failure], *, wait: bool) -> list[Run]:
    """Launch runs, note those that failed, and return those that somebody else is at."""
    try:
        outcomes = launch(plan, runs, wait=wait)
    except Exception as error:
        # a worker that was killed, a cluster that refused: every job of the launch is lost at once
        message = f"the launcher stopped: {type(error).__name__}: {' '.join(str(error).split())}"
        failures.append(Failure(None, message, is_input_error=False))
        return []
    for run, outcome in zip(runs, outcomes, strict=True):
        if outcome.state == "failed":
            failures.append(Failure(run, outcome.message or "failed", outcome.is_input_error))
    return [run for run, outcome in zip(runs, outcomes, strict=True) if outcome.state == "busy"]
