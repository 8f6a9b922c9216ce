"""What a run costs, from a short trial of it on this machine: time, memory and disk."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from contrastbench.core.errors import InputError
from contrastbench.core.memory import peak_memory
from contrastbench.reproductions.experiment import build
from contrastbench.reproductions.ledger import write_atomically
from contrastbench.reproductions.plan import Run
from contrastbench.reproductions.provenance import machine

SECONDS = 15.0
"""How long the steps of a trial are looked at."""


@dataclass(frozen=True)
class Trial:
    """What was seen of the first steps of a run, and what the whole would take at their pace.

    ``seconds`` is what the whole run would take, the evaluation at its end left out where that is no step of its own;
    ``steps`` of ``total`` were done; ``disk_bytes`` is what lay in its folder with a checkpoint written.
    """

    seconds: float
    steps: int
    total: int
    peak_memory_bytes: int | None
    disk_bytes: int
    machine: dict[str, Any]


class _Enough(BaseException):
    """Ends a trial; no error that an experiment may handle."""


def calibrate(run: Run, runs_dir: Path, seconds: float = SECONDS) -> Trial:
    """Try a run in a process and a folder of its own, for so many seconds of steps; the last trial of it is kept.

    Args:
        run: any seed of a row.
        runs_dir: folder of runs; trials lie in ``calibration`` of it, by the run's name.
        seconds: how long its steps are looked at.

    Raises:
        InputError: the run cannot start.
    """
    about = machine(str(run.experiment.get("device", "cpu")), run.experiment.get("threads"))
    path = _path(run, runs_dir)
    receive, send = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_try, args=(send, run.experiment, seconds))
    process.start()
    send.close()
    try:
        said = receive.recv()
    except EOFError:
        raise InputError(f"the trial of row '{run.row}' ended without a result; memory may not suffice") from None
    finally:
        process.join()
    if isinstance(said, str):
        raise InputError(f"the trial of row '{run.row}' failed: {said}")
    trial = Trial(**said, machine=about)
    write_atomically(path, json.dumps(asdict(trial), indent=1) + "\n")
    return trial


def known_trial(run: Run, runs_dir: Path) -> Trial | None:
    """Return the last trial of a run on a machine like this one, if there is one."""
    try:
        trial = Trial(**json.loads(_path(run, runs_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    about = machine(str(run.experiment.get("device", "cpu")), run.experiment.get("threads"))
    return trial if trial.machine == about else None


def _path(run: Run, runs_dir: Path) -> Path:
    return runs_dir / "calibration" / f"{run.id}.json"


def _try(pipe: Connection, experiment: Mapping[str, Any], seconds: float) -> None:
    """Time the steps, then let a few be done again with a checkpoint after each, to see what lies on the disk."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            clock = _Clock(seconds)
            _run_until_enough(experiment, clock)
            disk = _Disk()
            _run_until_enough(_with_checkpoints(experiment), disk)
    except Exception as error:
        pipe.send(str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
        return
    pipe.send(
        {
            "seconds": clock.whole(),
            "steps": clock.steps,
            "total": clock.total,
            "peak_memory_bytes": peak_memory(),
            "disk_bytes": disk.bytes,
        }
    )


def _run_until_enough(experiment: Mapping[str, Any], report: _Clock | _Disk) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report.folder = Path(folder)
        with contextlib.suppress(_Enough):
            build(experiment).run(report.folder, report)
        report.end()


def _with_checkpoints(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {k: 1 if k == "checkpoint_every" else _with_checkpoints(v) for k, v in node.items()}
    return [_with_checkpoints(v) for v in node] if isinstance(node, list) else node


class _Clock:
    """Is told of progress; ends the trial when its steps were looked at long enough."""

    def __init__(self, seconds: float) -> None:
        self.folder = Path()
        self.enough = seconds
        self.start = time.monotonic()
        self.first: tuple[float, int] | None = None
        self.last = (self.start, 0)
        self.steps, self.total, self.finished = 0, 0, False

    def __call__(self, step: int, total: int) -> None:
        now = time.monotonic()
        self.steps, self.total, self.last = step, total, (now, step)
        # the first steps are slower: memory is allocated, libraries warm up
        if self.first is None and step >= min(3, total):
            self.first = self.last
        if self.first is not None and now - self.first[0] >= self.enough:
            raise _Enough

    def end(self) -> None:
        self.finished = self.total == 0 or self.steps >= self.total
        self.ended = time.monotonic()

    def whole(self) -> float:
        if self.finished or self.first is None or self.last[1] == self.first[1]:
            return self.ended - self.start
        pace = (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])
        return self.first[0] - self.start + pace * (self.total - self.first[1])


class _Disk:
    """Is told of progress; ends the trial at the third step, when a checkpoint lies in the folder."""

    def __init__(self) -> None:
        self.folder = Path()
        self.bytes = 0

    def __call__(self, step: int, total: int) -> None:
        self.end()
        if step >= 3:
            raise _Enough

    def end(self) -> None:
        self.bytes = max(self.bytes, sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file()))
