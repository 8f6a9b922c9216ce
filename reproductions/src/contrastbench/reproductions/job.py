"""One job: run one experiment under its lock, in whatever process a launcher chose, and record it."""

from __future__ import annotations

import contextlib
import io
import json
import math
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from contrastbench.core.errors import InputError
from contrastbench.core.memory import forget_peak, peak_memory
from contrastbench.core.writing import is_disk_full
from contrastbench.reproductions.ledger import (
    PROGRESS,
    RUN,
    SCHEMA,
    Ledger,
    Record,
    disk_full,
    read_progress,
    write_atomically,
)
from contrastbench.reproductions.plan import Run, without_irrelevant
from contrastbench.reproductions.provenance import machine, revision, versions
from contrastbench.reproductions.ranks import run_experiment

State = Literal["running", "finished", "busy", "failed"]

LOG = "log.txt"
"""File in a run's folder that gets what the experiment prints."""

_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """How a job ended. ``busy``: somebody else is at the same run. ``message`` says what failed."""

    state: State
    message: str | None = None
    is_input_error: bool = False


@dataclass(frozen=True)
class Task:
    """What a launcher calls, once for each run, possibly in another process or on another machine.

    The runs travel with it, so that what was planned and named is what runs.

    Args:
        runs: the runs, in the order in which they are launched.
        records: folder of records.
        runs_dir: folder of runs.
        keep_weights: whether to keep what a finished run leaves in its folder.
        wait: whether to wait for a run that somebody else is at.
    """

    runs: tuple[Run, ...]
    records: Path
    runs_dir: Path
    keep_weights: bool
    wait: bool

    def __call__(self, _: DictConfig) -> Outcome:
        """Run the run whose turn it is by Hydra's job number."""
        run = self.runs[HydraConfig.get().job.num]
        ledger = Ledger(self.records, self.runs_dir)
        return perform(run, ledger, keep_weights=self.keep_weights, wait=self.wait)


def perform(run: Run, ledger: Ledger, *, keep_weights: bool = False, wait: bool = False) -> Outcome:
    """Run one experiment and record it, unless it is finished already or somebody else is at it."""
    try:
        with ledger.lock(run, wait=wait) as held:
            return _perform(run, ledger, keep_weights) if held else Outcome("busy")
    except OSError as error:
        if is_disk_full(error):
            return Outcome("failed", disk_full(ledger.runs, error), is_input_error=True)
        raise


def _perform(run: Run, ledger: Ledger, keep_weights: bool) -> Outcome:
    folder, state = ledger.work_dir(run), ledger.state_dir(run)
    progress = Progress(folder / PROGRESS)
    if ledger.adopt(run) is None:
        progress.begin(resumed=state.exists())
        about = {"paper": run.paper, "table": run.table, "row": run.row, "seed": run.seed, "config": run.experiment}
        write_atomically(folder / RUN, json.dumps(about, indent=1) + "\n")
        try:
            with _captured(folder / LOG):
                record = _measure(run, state, progress)
            ledger.write(record)
        except InputError as error:
            progress.end("failed")
            return Outcome("failed", str(error), is_input_error=True)
        except Exception as error:
            progress.end("failed")
            if is_disk_full(error):
                raise
            with contextlib.suppress(OSError):
                (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
            return Outcome("failed", f"{type(error).__name__}: {error}")
    if not keep_weights:
        ledger.prune(run)
    progress.end("finished")
    return Outcome("finished")


def _measure(run: Run, state: Path, progress: Progress) -> Record:
    started = datetime.now(UTC)
    state.mkdir(parents=True, exist_ok=True)
    forget_peak()  # a process may run several, one after another
    metrics = run_experiment(run.experiment, state, progress, state.with_name(LOG))
    for name in run.metrics:
        # a table may report more than is measured here (seconds on the authors' machine)
        value = metrics.get(name)
        if value is not None and not math.isfinite(value):
            raise ArithmeticError(f"{name} is {value}")
    if not any(name in metrics for name in run.metrics):
        raise LookupError(f"the experiment measured none of {', '.join(run.metrics)}")
    device = str(metrics.get("device") or run.experiment.get("device", "cpu"))
    return Record(
        schema=SCHEMA,
        paper=run.paper,
        table=run.table,
        row=run.row,
        seed=run.seed,
        profile=run.study.profile,
        data=run.study.data,
        fidelity=run.study.fidelity,
        overrides=run.study.overrides,
        run_id=run.id,
        config=without_irrelevant(run.experiment),
        fingerprint=run.fingerprint,
        source=run.source,
        git=revision(),
        versions=versions(),
        machine=machine(device, run.experiment.get("threads")),
        started=started.isoformat(timespec="seconds"),
        wall_seconds=round(progress.seconds(), 3),
        peak_memory_bytes=metrics.pop("peak_memory_bytes", None) or peak_memory(),
        metrics=metrics,
    )


class Progress:
    """How far a job is, kept in a small file so that the process that launched it can tell.

    It also counts the time spent on a run, over all the times it was interrupted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = 0.0
        self._start = self._written = time.monotonic()
        self._step, self._total = 0, 0

    def begin(self, *, resumed: bool) -> None:
        """Say that the job is running; ``resumed``: it takes over the time that an earlier one had spent."""
        if resumed:
            self._before = float(read_progress(self._path.parent).get("seconds", 0))
        self._start = time.monotonic()
        self._write("running")

    def __call__(self, step: int, total: int) -> None:
        """Say that so many steps are done. Written at most twice a second."""
        self._step, self._total = step, total
        if time.monotonic() - self._written >= _REPORT_SECONDS:
            self._write("running")

    def end(self, state: State) -> None:
        """Say how the job ended."""
        self._write(state)

    def seconds(self) -> float:
        """Return the seconds spent so far."""
        return self._before + time.monotonic() - self._start

    def _write(self, state: State) -> None:
        self._written = time.monotonic()
        content: dict[str, Any] = {
            "state": state,
            "step": self._step,
            "total": self._total,
            "seconds": round(self.seconds(), 3),
        }
        with contextlib.suppress(OSError):
            # only shown: what a run ends in does not depend on it
            write_atomically(self._path, json.dumps(content))


class _Log(io.TextIOBase):
    """A stream into the log of whichever run is going on, and into nothing between runs.

    Loggers keep the stream they found when they were made; the runs of one process share them, so the
    stream has to outlive a run.
    """

    target: TextIO | None = None

    def write(self, text: str) -> int:
        if self.target is not None:
            with contextlib.suppress(OSError):
                self.target.write(text)
        return len(text)

    def flush(self) -> None:
        if self.target is not None:
            with contextlib.suppress(OSError):
                self.target.flush()


_LOG = _Log()


@contextlib.contextmanager
def _captured(path: Path) -> Iterator[None]:
    """Append to a file what an experiment prints, so that it does not tear the terminal's progress."""
    file = path.open("a", encoding="utf-8")
    _LOG.target = file
    try:
        with contextlib.redirect_stdout(_LOG), contextlib.redirect_stderr(_LOG):
            yield
    finally:
        _LOG.target = None
        with contextlib.suppress(OSError):
            # a log that a full disk cuts short is no reason to lose what was measured
            file.close()
