"""mmengine's runner, quiet and resumable to the bit."""

from __future__ import annotations

import io
import itertools
import time
import warnings
from contextlib import redirect_stdout
from logging import FileHandler
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop, Runner
from torch import nn

from contrastbench.core.distributed import rank, world_size
from contrastbench.core.hosts.generators import States, gather_generators, restore_generators
from contrastbench.core.hosts.mmseg.averaging import WeightAverage
from contrastbench.core.hosts.trainer import CHECKPOINT, Report
from contrastbench.core.writing import settle

_runs = itertools.count()


class QuietRunner(Runner):
    """mmengine's runner on a device of choice, logging to files alone.

    Args:
        device: where to train.
        unused: whether some weights may take no part in a step, which ranks must then agree on.
        work_dir: folder for logs and checkpoint.
        options: as of mmengine's ``Runner``.
    """

    def __init__(self, *, device: torch.device, unused: bool, work_dir: Path, **options: Any) -> None:
        self.device, self.unused = device, unused
        with warnings.catch_warnings():
            # mmengine sets these for each of several ranks, and says so on every one of them.
            warnings.filterwarnings("ignore", message="Setting (OMP|MKL)_NUM_THREADS")
            # torch is about to rename it, and has not yet what is to replace it.
            warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
            super().__init__(
                work_dir=str(work_dir),
                default_scope="mmseg",
                # mmengine keeps loggers by name; two runs of one process must not share theirs.
                experiment_name=f"{work_dir.name}-{next(_runs)}",
                visualizer={"type": "Visualizer", "vis_backends": []},
                log_processor={"by_epoch": False},
                **options,
            )

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Return mmengine's logger without its output to the terminal."""
        logger = super().build_logger(*args, **kwargs)
        logger.handlers[:] = [handler for handler in logger.handlers if isinstance(handler, FileHandler)]
        return logger

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return a checkpoint as mmengine loads it, which prints that it does."""
        with redirect_stdout(io.StringIO()):
            return super().load_checkpoint(*args, **kwargs)

    def close(self) -> None:
        """Close the log files, and take them from the logger, which mmengine keeps as its current one."""
        for handler in self.logger.handlers:
            handler.close()
        self.logger.handlers.clear()

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Return the model on the device, for several ranks where there are."""
        model = model.to(self.device)
        if not self.distributed:
            return revert_sync_batchnorm(model)
        return MMDistributedDataParallel(
            module=model,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            broadcast_buffers=False,
            find_unused_parameters=self.unused,
        )


@LOOPS.register_module()
class StreamLoop(BaseLoop):
    """Steps over a stream that can begin anywhere; mmengine's own loop reads again all that was consumed.

    Args:
        runner: the runner.
        dataloader: over a :class:`~contrastbench.core.hosts.stream.Stream`.
        max_iters: number of steps.
    """

    max_epochs = 1
    epoch = 0
    # Evaluation comes after the last step, by the experiment.
    val_interval = val_begin = 0

    def __init__(self, runner: Runner, dataloader: Any, max_iters: int) -> None:
        super().__init__(runner, dataloader)
        self.max_iters = max_iters
        self._iter = self._epoch = 0

    @property
    def iter(self) -> int:
        """Steps taken."""
        return self._iter

    def run(self) -> nn.Module:
        """Train to the last step, from wherever a checkpoint left off."""
        runner = self.runner
        self.dataloader.sampler.start = self._iter
        batches = iter(self.dataloader)
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        runner.model.train()
        while self._iter < self.max_iters:
            batch = next(batches)
            runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=batch)
            outputs = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
            runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=batch, outputs=outputs)
            self._iter += 1
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model


class Continuity(Hook):
    """Averages the weights, and writes checkpoints from which a run goes on as if nothing had happened.

    A checkpoint is written whole or not at all, and takes the place of the one before it. Beside what mmengine saves
    it holds the state of each rank's generators, the mean weights, the seconds spent and what was last counted.

    Args:
        interval: steps between checkpoints; there is one after the last step too.
        momentum: of the weight average, or None.
        report: called with steps taken and steps in all.

    Raises:
        InputError: the checkpoint is of a run on another number of ranks.
    """

    priority = "VERY_LOW"

    def __init__(self, interval: int, momentum: float | None, report: Report) -> None:
        self.interval, self.momentum, self.report = interval, momentum, report
        self.average: WeightAverage | None = None
        self.seconds = 0.0
        self.counts: dict[str, float] = {}
        self._restored: dict[str, Any] | None = None
        self._generators: list[States] = []
        self._since = 0.0

    def before_train(self, runner: Runner) -> None:
        """Take up the state of the checkpoint, if one was loaded, after everything else is in place."""
        if self.momentum is not None:
            self.average = WeightAverage(segmentor_of(runner), self.momentum)
        if self._restored is not None:
            self.seconds, self.counts = self._restored["seconds"], self._restored["counts"]
            if self.average is not None:
                for name, value in self._restored["average"].items():
                    self.average.mean[name].copy_(value)
            restore_generators(self._restored["generators"], runner.device)
            self._restored = None
        elif rank() > 0:
            # Weights were drawn alike on all ranks; from here on each has noise of its own.
            torch.manual_seed(runner.seed + rank())
        self._since = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Average, report, and save where it is time to."""
        done = batch_idx + 1
        if self.average is not None:
            self.average.update(segmentor_of(runner), done)
        if done % self.interval == 0 or done == runner.max_iters:
            self.counts = {name: value.detach().item() for name, value in (outputs or {}).items()}
            self._generators = gather_generators(runner.device)
            now = time.perf_counter()
            self.seconds, self._since = self.seconds + now - self._since, now
            _save(runner)
            if world_size() > 1:
                dist.barrier()  # no rank goes on, or ends, before the checkpoint is there for all
        self.report(done, runner.max_iters)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add what mmengine leaves out; drop its history of logged values, which is in the log."""
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        checkpoint["continuity"] = {
            "generators": self._generators,
            "average": self.average.mean if self.average is not None else {},
            "seconds": self.seconds,
            "counts": self.counts,
        }

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the state until training begins."""
        self._restored = checkpoint["continuity"]


def _save(runner: Runner) -> None:
    folder, partial = Path(runner.work_dir), f"{CHECKPOINT}.partial"
    try:
        runner.save_checkpoint(str(folder), partial, by_epoch=False)
        if rank() == 0:
            settle(folder / partial, folder / CHECKPOINT)
    except OSError:
        (folder / partial).unlink(missing_ok=True)
        raise


def segmentor_of(runner: Runner) -> nn.Module:
    """Return the segmentor of a runner, whether or not it is wrapped for several ranks."""
    model: nn.Module = runner.model
    return model.module if isinstance(model, MMDistributedDataParallel) else model
