"""Experiments for tests: no training, but interrupted, failing, slow and shared like the real ones."""

import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contrastbench.core.errors import InputError
from contrastbench.reproductions.ledger import write_atomically


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
            write_atomically(state, json.dumps(step + 1))  # or a Ctrl-C may leave half of it
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


class Training:
    """Trains a little network with momentum and dropout, saving every step; pauses as ``TOY_PAUSE`` says."""

    def __init__(self, seed: int, width: int = 16, steps: int = 40, device: str = "cpu") -> None:
        self.seed, self.width, self.steps = seed, width, steps

    def run(self, run_dir: Path, report: Callable[[int, int], None]) -> dict[str, Any]:
        import torch
        from torch import nn

        from contrastbench.core.writing import whole

        torch.set_num_threads(1)
        torch.manual_seed(self.seed)
        # the second layer makes a checkpoint long enough to be caught while it is written
        model = nn.Sequential(nn.Linear(8, self.width), nn.Dropout(0.3), nn.Linear(self.width, 4000))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        checkpoint, done, losses = run_dir / "checkpoint.pth", 0, []
        if checkpoint.is_file():
            state = torch.load(checkpoint, weights_only=True)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["generator"])
            done, losses = state["done"], state["losses"]
        while done < self.steps:
            time.sleep(float(os.environ.get("TOY_PAUSE", "0")))
            loss = model(torch.randn(4, 8)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            losses.append(loss.item())
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done, "losses": losses}
            with whole(checkpoint) as file:
                torch.save({**state, "generator": torch.get_rng_state()}, file)
            report(done, self.steps)
        total = sum(parameter.double().sum().item() for parameter in model.parameters())
        return {"score": losses[-1], "weights": total, "per_step": losses, "evaluation": "its last loss"}


class Ranked:
    """Adds up what two ranks have; the second one can fail, and then the first waits for it in vain."""

    def __init__(self, fail: str | None = None) -> None:
        self.fail = fail

    def run(self, run_dir: Path, report: Callable[[int, int], None]) -> dict[str, Any]:
        import torch
        import torch.distributed as dist

        rank = int(os.environ["RANK"])
        print(f"rank {rank} was here")
        if rank == 1:
            self._break()
        dist.init_process_group("gloo")
        total = torch.tensor([rank + 1.0])
        dist.all_reduce(total)
        dist.destroy_process_group()
        report(1, 1)
        return {"sum": total.item(), "world": int(os.environ["WORLD_SIZE"]), "rank": rank}

    def _break(self) -> None:
        if self.fail == "input":
            raise InputError("rank 1 takes no such data")
        if self.fail == "bug":
            raise ZeroDivisionError("a bug")
        if self.fail == "disk":
            raise OSError(28, "No space left on device")
        if self.fail == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
