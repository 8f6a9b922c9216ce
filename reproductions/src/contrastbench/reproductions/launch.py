"""Handing runs to a Hydra launcher: one process, several on this machine, or a cluster."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

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
        submitted = _own_submissions(config)
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
        try:
            return [_outcome(returned) for returned in launcher.launch(jobs, initial_job_idx=0)]
        except KeyboardInterrupt:
            if submitted is not None:
                cancel(submitted)
            raise


def _own_submissions(config: DictConfig) -> Path | None:
    """Give the jobs that submitit is about to submit a folder of their own, so that they can be told from others'.

    Returns:
        The folder, which gets one for each job, named by its id; None with other launchers, or where the user names it.
    """
    if config.hydra.launcher.get("submitit_folder") != f"{config.hydra.sweep.dir}/.submitit/%j":
        return None
    folder = Path(config.hydra.sweep.dir, ".submitit", uuid.uuid4().hex[:12])
    config.hydra.launcher.submitit_folder = str(folder / "%j")
    return folder


def cancel(submitted: Path) -> None:
    """Cancel what submitit submitted: on Slurm with scancel, on this machine as by Ctrl-C."""
    ids = [path.name for path in submitted.glob("[0-9]*")]
    if ids and shutil.which("scancel") is not None:
        subprocess.run(["scancel", *ids], check=False)
        return
    for pid in filter(str.isdecimal, ids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGINT)


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
