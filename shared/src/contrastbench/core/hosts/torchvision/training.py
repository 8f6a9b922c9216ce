"""Instance segmentation as an experiment: a network, data, a schedule, perhaps an objective; mask AP at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader

from contrastbench.core.data.coco import resized
from contrastbench.core.data.instances import InstanceSource, open_instances, verify_instances
from contrastbench.core.distributed import rank, world_size
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.environment import environment, find_device, peak_memory
from contrastbench.core.hosts.evaluators import COCO_AP, Evaluator, build_evaluators, judge
from contrastbench.core.hosts.instance_schedule import InstanceSchedule
from contrastbench.core.hosts.outcome import finish, read_outcome
from contrastbench.core.hosts.stream import Seeded, Stream, one_thread
from contrastbench.core.hosts.torchvision.augment import Augmentation
from contrastbench.core.hosts.torchvision.dataset import Instances, Pictures
from contrastbench.core.hosts.torchvision.evaluation import predict
from contrastbench.core.hosts.torchvision.network import build_mask_rcnn
from contrastbench.core.hosts.torchvision.seat import PREFIX, exported_state, fit_mask_objective
from contrastbench.core.hosts.torchvision.sizing import Size
from contrastbench.core.hosts.trainer import CHECKPOINT, Report, Trainer
from contrastbench.core.writing import whole

WEIGHTS = "weights.pth"
"""File in the run's folder that a finished run leaves: the evaluated weights, for a plain torchvision model."""

RESULTS = "results.json"
"""File in the run's folder that a finished run leaves: the results on the validation split, as COCO has them."""


class InstanceTraining:
    """Train a Mask R-CNN of torchvision and judge its masks on the validation split.

    The last weights are evaluated, never the best on validation, on whole images, at ``data.size`` where it is given:
    the result names that resolution. The same arguments give the same result; on a CPU to the bit, interrupted and
    resumed or not, for the same number of threads.

    Launched by ``torchrun`` (``RANK`` in the environment), it trains on all ranks, and every rank returns the result.
    Statistics of batches are taken over all ranks on GPUs; on CPUs each rank has its own, and the first rank's are
    evaluated.

    Args:
        network: as :func:`~contrastbench.core.hosts.torchvision.network.build_mask_rcnn` takes it.
        data: ``name``, ``size`` and the source's options, as
            :func:`~contrastbench.core.data.instances.open_instances` takes them.
        schedule: as :class:`~contrastbench.core.hosts.instance_schedule.InstanceSchedule`.
        objective: ``type`` and options of a mask objective; None for the baseline.
        evaluators: callables that are given ground truth and results, or mappings that name them (``type`` and
            options).
        seed: of weights, order of samples, augmentation.
        threads: of the CPU; None leaves torch's own number.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises:
        InputError: the schedule has an unknown or impossible option, there is no such evaluator, or the device is not
            there.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        data: Mapping[str, Any],
        schedule: Mapping[str, Any],
        objective: Mapping[str, Any] | None = None,
        evaluators: Sequence[Mapping[str, Any] | Evaluator] = (COCO_AP,),
        seed: int = 0,
        threads: int | None = None,
        device: str = "auto",
    ) -> None:
        self.network, self.data, self.objective = network, data, objective
        self.schedule = InstanceSchedule.read(schedule)
        self.evaluators = build_evaluators(evaluators)
        self.seed, self.threads = seed, threads
        self.device = find_device(device)

    def fingerprint(self) -> str:
        """Return what names the data by content, after reading all of them once.

        Raises:
            InputError: something is wrong with the data.
        """
        return verify_instances(open_instances(self.data))

    def run(self, run_dir: Path, report: Report = lambda done, total: None) -> dict[str, Any]:
        """Train, going on from a checkpoint in ``run_dir`` if there is one, and evaluate.

        Args:
            run_dir: the run's own folder; the checkpoint is kept there. A finished run leaves the evaluated weights as
                ``weights.pth``, the results as ``results.json``, what it measured as ``metrics.json``, and no
                checkpoint; called again, it returns that.
            report: called after every step.

        Returns:
            What the evaluators give, their ``per_class`` and ``evaluation`` joined; ``iterations``; ``parameters`` of
            the exported network; ``train_seconds``, over all its interruptions; ``val_seconds``, the evaluators among
            them; ``peak_memory_bytes`` (on a GPU what torch allocated there, else the process's peak since it began);
            ``counts``, what the objective last returned.

        Raises:
            InputError: bad data or configuration.
            NonFiniteLossError: a loss was NaN or infinite.
        """
        size = _size(self.data)
        source = open_instances(self.data)
        run_dir.mkdir(parents=True, exist_ok=True)
        earlier = read_outcome(run_dir)
        if earlier is not None:
            report(self.schedule.iterations, self.schedule.iterations)
            return earlier
        with environment(self.seed, self.threads, self.device) as device:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            model = self._model(source, device)
            trainer = Trainer(model, self.schedule, device, run_dir, self.seed)
            trainer.train(self._batches(source, size, trainer.progress.step, device), report)
            _agree(model)
            start = time.perf_counter()
            pictures = Pictures(source, "val", size)
            results = predict(model, pictures, self.schedule.val_batch_size, device, self.schedule.workers)
            verdict = self._judge(source, size, results)
            val_seconds = time.perf_counter() - start
            if rank() == 0:
                _write(run_dir, model, results)
            metrics = {
                **verdict,
                "iterations": self.schedule.iterations,
                "parameters": sum(p.numel() for n, p in model.named_parameters() if not n.startswith(PREFIX)),
                "train_seconds": trainer.progress.seconds,
                "val_seconds": val_seconds,
                "peak_memory_bytes": peak_memory(device),
                "counts": trainer.progress.counts,
            }
            if rank() == 0:
                finish(run_dir, metrics, CHECKPOINT)
            return metrics

    def _model(self, source: InstanceSource, device: torch.device) -> nn.Module:
        model: nn.Module = build_mask_rcnn(self.network, len(source.classes))
        if self.objective is not None:
            fit_mask_objective(model, self.objective)
        if dist.is_initialized() and device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model.to(device)

    def _batches(self, source: InstanceSource, size: Size | None, start: int, device: torch.device) -> DataLoader[Any]:
        schedule = self.schedule
        if schedule.batch_size % world_size():
            raise InputError(f"schedule.batch_size {schedule.batch_size} does not divide by {world_size()} ranks")
        augmentation = Augmentation(schedule.crop, schedule.scale, schedule.flip, schedule.jitter)
        train = Instances(Pictures(source, "train", size), augmentation)
        stream = Stream(len(train), schedule.batch_size, schedule.iterations, self.seed, rank(), world_size())
        stream.start = start
        return DataLoader(
            Seeded(train, self.seed),
            batch_size=schedule.batch_size // world_size(),
            sampler=stream,
            collate_fn=list,
            num_workers=schedule.workers,
            worker_init_fn=one_thread,
            pin_memory=device.type == "cuda",
            # The loader draws a seed for its workers, which must not come from the generator the network uses.
            generator=torch.Generator(),
        )

    def _judge(self, source: InstanceSource, size: Size | None, results: list[dict[str, Any]]) -> dict[str, Any]:
        verdict: list[Any] = [None]
        if rank() == 0:
            ground_truth = source.ground_truth("val")
            verdict = [judge(self.evaluators, ground_truth if size is None else resized(ground_truth, *size), results)]
        if world_size() > 1:
            dist.broadcast_object_list(verdict)
        resolution = f"{size[0]}x{size[1]}" if size is not None else "the images' own size"
        return {**verdict[0], "evaluation": f"{verdict[0]['evaluation']}; {resolution}"}


def _size(data: Mapping[str, Any]) -> Size | None:
    size = data.get("size")
    if size is None:
        return None
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise InputError(f"data.size is {list(size)}; it must be [height, width] in pixels")
    return size[0], size[1]


def _agree(model: nn.Module) -> None:
    # Where batch statistics are each rank's own, so are their running means; the first rank's are the ones exported.
    if world_size() > 1:
        for value in exported_state(model).values():
            shared = value.contiguous()
            dist.broadcast(shared, 0)
            value.copy_(shared)


def _write(run_dir: Path, model: nn.Module, results: list[dict[str, Any]]) -> None:
    # Contiguous, so that the file does not tell how the weights lay in memory.
    weights = {"state_dict": {n: v.cpu().contiguous() for n, v in exported_state(model).items()}}
    with whole(run_dir / RESULTS) as file:
        file.write(json.dumps(results, separators=(",", ":")).encode())
    with whole(run_dir / WEIGHTS) as file:
        torch.save(weights, file)
