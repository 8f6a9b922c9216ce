"""Handing runs to a Hydra launcher: one process, several on this machine, or a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import open_dict

from contrastbench.reproductions.compose import quoted
from contrastbench.reproductions.job import Outcome, Task
from contrastbench.reproductions.plan import Plan, Run
from contrastbench.reproductions.provenance import cores


def launch(plan: Plan, runs: Sequence[Run], *, wait: bool) -> list[Outcome]:
    """Launch runs of a plan, inside the ``hydra_session`` it was made in, and return how each ended.

    Args:
        plan: the plan, whose configuration chose the launcher.
        runs: the runs to launch, all different.
        wait: whether to wait for runs that somebody else is at; otherwise they come back ``busy``.
    """
    config = plan.hydra.copy()
    with open_dict(config):
        config.hydra.sweep.dir = str(plan.runs_dir / "work")
        if config.hydra.launcher.get("n_jobs") == -1:
            config.hydra.launcher.n_jobs = processes(config.get("threads"), len(runs))
    task = Task(
        runs=tuple(runs),
        records=plan.records_dir,
        runs_dir=plan.runs_dir,
        keep_weights=plan.keep_weights,
        wait=wait,
    )
    state = GlobalHydra.instance()
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(config_loader=state.config_loader(), callbacks=Callbacks()),
        task_function=task,
        config=config,
    )
    where = f"hydra.sweep.dir={quoted(config.hydra.sweep.dir)}"
    jobs = [[*run.hydra_overrides, where, f"hydra.sweep.subdir={run.id}"] for run in runs]
    with warnings.catch_warnings():
        # joblib replaces workers whose memory has grown, as training does, and warns of it
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
        return [_outcome(returned) for returned in launcher.launch(jobs, initial_job_idx=0)]


def _outcome(returned: JobReturn) -> Outcome:
    try:
        outcome: Outcome = returned.return_value
    except Exception as error:
        # what the task itself could not turn into an outcome: a lock or a folder that failed
        return Outcome("failed", f"{type(error).__name__}: {error}")
    return outcome


def processes(threads: int | None, jobs: int) -> int:
    """Return how many processes to train in at once: as many as the cores hold at so many threads each."""
    return max(1, min(jobs, cores() // max(1, threads or 1)))
