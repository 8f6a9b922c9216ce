"""Showing how far jobs are, whatever process they run in, from the small files they keep."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from contrastbench.reproductions.ledger import PROGRESS, Ledger, read_progress
from contrastbench.reproductions.plan import Run

_POLL_SECONDS = 0.5


class Watch(AbstractContextManager["Watch"]):
    """Shows one bar for all runs and one for each that is running; a line for each that ended.

    Where the console is no terminal, only the lines.

    Args:
        runs: the runs about to be launched.
        ledger: knows their folders.
        console: where to show them.
    """

    def __init__(self, runs: Sequence[Run], ledger: Ledger, console: Console) -> None:
        self._waiting = {run.id: run for run in runs}
        self._total = len(runs)
        self._ledger = ledger
        self._console = console
        self._bars: dict[str, TaskID] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._stamps = {run.id: _stamp(self._file(run)) for run in runs}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            # a job in this process sends its own output to its log
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Watch:
        """Start showing."""
        self._progress.start()
        self._all = self._progress.add_task("runs", total=self._total)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show what ended last, and stop."""
        self._stop.set()
        self._thread.join()
        self._progress.stop()

    def _poll(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        for run in list(self._waiting.values()):
            # what an earlier, interrupted job left says nothing of this one
            changed = _stamp(self._file(run)) != self._stamps[run.id]
            content = read_progress(self._ledger.work_dir(run)) if changed else {}
            if not content:
                continue
            if content["state"] == "running":
                self._show(run, content)
            else:
                self._ended(run, content)

    def _show(self, run: Run, content: dict[str, Any]) -> None:
        if run.id not in self._bars:
            self._bars[run.id] = self._progress.add_task(f"  {run.row}, seed {run.seed}", total=None)
        self._progress.update(self._bars[run.id], completed=content["step"], total=content["total"] or None)

    def _ended(self, run: Run, content: dict[str, Any]) -> None:
        del self._waiting[run.id]
        if run.id in self._bars:
            self._progress.remove_task(self._bars.pop(run.id))
        self._progress.advance(self._all)
        record = self._ledger.finished(run) if content["state"] == "finished" else None
        values = [] if record is None else [(m, record.metrics.get(m)) for m in run.metrics]
        numbers = ", ".join(f"{name} {value:.2f}" for name, value in values if value is not None)
        done = self._total - len(self._waiting)
        how = f"{content['state']} in {content['seconds']:.0f} s"
        self._console.print(
            f"[{done}/{self._total}] {run.row}, seed {run.seed}: {how}{': ' if numbers else ''}{numbers}",
            markup=False,
            highlight=False,
        )

    def _file(self, run: Run) -> Path:
        return self._ledger.work_dir(run) / PROGRESS


def _stamp(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
