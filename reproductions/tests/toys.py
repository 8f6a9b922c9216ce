"""Experiments for tests: no training, but interrupted, failing, slow and shared like the real ones."""

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contrastbench.core.errors import InputError


class Toy:
    """Counts to ``steps``, resuming; ends in a number that depends on its seed and ``gain`` alone.

    Every step is written to ``journal``, a file outside the run's folder, with this process's id.
    """

    def __init__(
        self,
        seed: int,
        gain: float = 0.0,
        steps: int = 3,
        pause: float = 0.0,
        fail: str | None = None,
        fail_at_seed: int | None = None,
        journal: str | None = None,
        root: str | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self.seed = seed
        self.gain = gain
        self.steps = steps
        self.pause = pause
        self.fail = fail if fail_at_seed in (None, seed) else None
        self.journal = None if journal is None else Path(journal)
        self.root = root

    def fingerprint(self) -> str:
        if self.root is not None and not Path(self.root).is_dir():
            raise InputError(f"{self.root}: no such folder")
        return "toy data"

    def run(self, run_dir: Path, report: Callable[[int, int], None]) -> dict[str, Any]:
        print("this goes to the log")
        self._log()
        state = run_dir / "state.json"
        done = json.loads(state.read_text()) if state.exists() else 0
        for step in range(done, self.steps):
            time.sleep(self.pause)
            self._note(step)
            if self.fail is not None and step == 1:
                self._break()
            state.write_text(json.dumps(step + 1))
            report(step + 1, self.steps)
        score = 50 + self.gain + (self.seed * 7919 % 13) / 10
        return {"score": float("nan") if self.fail == "score" else score, "evaluation": "by counting"}

    def _log(self) -> None:
        """Log as libraries do: by a logger that lives as long as the process, made by the first run."""
        logger = logging.getLogger("toys")
        if not logger.handlers:
            logger.addHandler(logging.StreamHandler())
        logger.error("seed %d was here", self.seed)

    def _break(self) -> None:
        if self.fail == "bug":
            raise ZeroDivisionError("a bug")
        if self.fail == "interrupt":
            raise KeyboardInterrupt
        if self.fail == "input":
            raise InputError("image 7 does not decode")
        if self.fail == "killed":
            os._exit(9)

    def _note(self, step: int) -> None:
        if self.journal is not None:
            with self.journal.open("a") as file:
                file.write(f"{self.gain} {self.seed} {step} {os.getpid()}\n")
