"""The steps of a run, resumable to the bit."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from contrastbench.core.distributed import rank, world_size
from contrastbench.core.hosts.finite import require_finite
from contrastbench.core.hosts.generators import gather_generators, restore_generators
from contrastbench.core.hosts.instance_schedule import InstanceSchedule
from contrastbench.core.writing import whole

CHECKPOINT = "checkpoint.pth"

Report = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""


@dataclass
class Progress:
    """Where a run is.

    Attributes:
        step: steps taken.
        seconds: spent on them, over all interruptions.
        counts: what the objective last counted, as of the last checkpoint.
    """

    step: int = 0
    seconds: float = 0.0
    counts: dict[str, float] = field(default_factory=dict)


class Trainer:
    """Takes the steps of a run and writes checkpoints from which it goes on as if nothing had happened.

    A checkpoint is written whole or not at all, and takes the place of the one before it. It holds weights, optimiser,
    the state of each rank's generators and the progress. If there is one in the folder, the run goes on from it.

    Args:
        model: gives its losses in training; on its device.
        schedule: the schedule.
        device: where the model is.
        run_dir: folder of the checkpoint.
        seed: of what a rank draws by itself.

    Raises:
        InputError: the checkpoint is of a run on another number of ranks.
    """

    def __init__(
        self, model: nn.Module, schedule: InstanceSchedule, device: torch.device, run_dir: Path, seed: int
    ) -> None:
        self.model, self.schedule, self.device = model, schedule, device
        self.checkpoint = run_dir / CHECKPOINT
        self.optimizer = schedule.build_optimizer(self.parameters())
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.half = schedule.amp and device.type == "cuda"
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.half)
        self.progress = Progress()
        if self.checkpoint.is_file():
            self._resume()
        elif rank() > 0:
            # Weights were drawn alike on all ranks; from here on each draws RoIs of its own.
            torch.manual_seed(seed + rank())

    def train(self, batches: Iterable[Any], report: Report) -> None:
        """Take the steps that are left.

        Args:
            batches: those of the steps that are left; each a list of samples.
            report: called after every step.

        Raises:
            NonFiniteLossError: a loss was NaN or infinite.
        """
        model = self._on_all_ranks()
        model.train()
        total, since = self.schedule.iterations, time.perf_counter()
        for batch in batches:
            self._step(model, batch)
            self.progress.step += 1
            if self.progress.step % self.schedule.interval == 0 or self.progress.step == total:
                now = time.perf_counter()
                self.progress.seconds, since = self.progress.seconds + now - since, now
                self._save()
            report(self.progress.step, total)

    def parameters(self) -> Iterable[Any]:
        """Return what is trained: weights, or groups of them with options of their own."""
        return (p for p in self.model.parameters() if p.requires_grad)

    def losses(self, model: nn.Module, batch: list[Any]) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return the losses of a batch by name, and what went into them, to be named where one is not finite."""
        images = [image.to(self.device, non_blocking=True) for image, _ in batch]
        targets = [{n: v.to(self.device, non_blocking=True) for n, v in target.items()} for _, target in batch]
        return model(images, targets), {f"images[{place}]": image for place, image in enumerate(images)}

    def counts(self) -> dict[str, float]:
        """Return what the objective last counted."""
        return {n: float(v) for n, v in getattr(self.model, "objective_counts", {}).items()}

    def _step(self, model: nn.Module, batch: list[Any]) -> None:
        factor = self.schedule.factor(self.progress.step)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        with torch.autocast(self.device.type, torch.float16, enabled=self.half):
            losses, tensors = self.losses(model, batch)
        require_finite(losses, tensors, self.progress.step + 1)
        self.optimizer.zero_grad()
        self.scaler.scale(torch.stack([loss.float() for loss in losses.values()]).sum()).backward()
        if self.schedule.clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _on_all_ranks(self) -> nn.Module:
        if not dist.is_initialized():
            return self.model
        with warnings.catch_warnings():
            # torch is about to rename it, and has not yet what is to replace it.
            warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
            return DistributedDataParallel(
                self.model,
                device_ids=[self.device.index] if self.device.type == "cuda" else None,
                broadcast_buffers=False,
                # An objective may leave some of its weights out of a step.
                find_unused_parameters=any("objective" in n.split(".") for n, _ in self.model.named_parameters()),
            )

    def _save(self) -> None:
        self.progress.counts = self.counts()
        generators = gather_generators(self.device)
        if rank() == 0:
            state = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "generators": generators,
                "progress": vars(self.progress),
            }
            with whole(self.checkpoint) as file:
                torch.save(state, file)
        if world_size() > 1:
            dist.barrier()  # no rank goes on, or ends, before the checkpoint is there for all

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty where it was written without half precision, as on a CPU
            self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])
        restore_generators(state["generators"], self.device)
