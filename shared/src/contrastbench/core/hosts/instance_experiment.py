"""Instance segmentation as an experiment: what training a Mask R-CNN and judging it is, whatever the framework."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import Dataset

from contrastbench.core.data.coco import resized
from contrastbench.core.data.instances import InstanceSource, open_instances, verify_instances
from contrastbench.core.distributed import rank, world_size
from contrastbench.core.hosts.environment import environment, find_device, peak_memory
from contrastbench.core.hosts.evaluators import COCO_AP, Evaluator, build_evaluators, judge
from contrastbench.core.hosts.finding import Results
from contrastbench.core.hosts.instance_schedule import InstanceSchedule
from contrastbench.core.hosts.outcome import WEIGHTS, finish, read_outcome, take_from_first_rank, write_weights
from contrastbench.core.hosts.resolution import Size, read_size, told
from contrastbench.core.hosts.stream import batches
from contrastbench.core.hosts.trainer import CHECKPOINT, Report, Trainer
from contrastbench.core.writing import whole

RESULTS = "results.json"
"""File in the run's folder that a finished run leaves: the results on the validation split, as COCO has them."""


class InstanceExperiment(ABC):
    """Train a Mask R-CNN and judge its masks on the validation split. Each host derives its own from it.

    The last weights are evaluated, never the best on validation. Images are judged whole, at ``data.size`` where it is
    given: the result names that resolution. The same arguments give the same result; on a CPU to the bit, interrupted
    and resumed or not, for the same number of threads.

    Launched by ``torchrun`` (``RANK`` in the environment), it trains on all ranks, and every rank returns the result.

    Args:
        network: the host's own.
        data: ``name``, ``size`` and the source's options, as
            :func:`~contrastbench.core.data.instances.open_instances` takes them.
        schedule: as of the host, whose options are those of
            :class:`~contrastbench.core.hosts.instance_schedule.InstanceSchedule` and its own.
        objective: ``type`` and options of a mask objective; None for the baseline.
        evaluators: callables that are given ground truth and results, or mappings that name them (``type`` and
            options).
        seed: of weights, order of samples, augmentation.
        threads: of the CPU; None leaves torch's own number.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Attributes:
        schedule_type: class of the schedule.
        trainer_type: class of what takes the steps.
        weights_key: key of the weights in their file.

    Raises:
        InputError: the schedule has an unknown or impossible option, there is no such evaluator, or the device is not
            there.
    """

    schedule_type: ClassVar[type[InstanceSchedule]] = InstanceSchedule
    trainer_type: ClassVar[type[Trainer]] = Trainer
    weights_key: ClassVar[str] = "state_dict"

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
        self.schedule = self.schedule_type.read(schedule)
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
            them; ``peak_memory_bytes`` since the run began or went on (on a GPU what torch allocated there, else the
            process's); ``counts``, what the objective last returned.

        Raises:
            InputError: bad data or configuration.
            NonFiniteLossError: a loss was NaN or infinite.
        """
        size = read_size(self.data)
        source = open_instances(self.data)
        run_dir.mkdir(parents=True, exist_ok=True)
        earlier = read_outcome(run_dir)
        if earlier is not None:
            report(self.schedule.iterations, self.schedule.iterations)
            return earlier
        with environment(self.seed, self.threads, self.device) as device, self._surroundings():
            model = self._build(source, device)
            trainer = self.trainer_type(model, self.schedule, device, run_dir, self.seed)
            samples = self._samples(model, source, size)
            start = trainer.progress.step
            trainer.train(batches(samples, self.schedule, self.seed, list, device, start), report)
            exported = self._exported(model)
            take_from_first_rank(exported)
            began = time.perf_counter()
            results = self._find(model, source, size, device)
            verdict = self._judge(source, size, results)
            val_seconds = time.perf_counter() - began
            metrics = {
                **verdict,
                "iterations": self.schedule.iterations,
                "parameters": sum(p.numel() for n, p in model.named_parameters() if n in exported),
                "train_seconds": trainer.progress.seconds,
                "val_seconds": val_seconds,
                "peak_memory_bytes": peak_memory(device),
                "counts": trainer.progress.counts,
            }
            if rank() == 0:
                with whole(run_dir / RESULTS) as file:
                    file.write(json.dumps(results, separators=(",", ":")).encode())
                write_weights(run_dir / WEIGHTS, exported, self.weights_key)
                finish(run_dir, metrics, CHECKPOINT)
            return metrics

    @abstractmethod
    def _build(self, source: InstanceSource, device: torch.device) -> nn.Module:
        """Return the network with its objective, its weights drawn, on the device."""

    @abstractmethod
    def _samples(self, model: nn.Module, source: InstanceSource, size: Size | None) -> Dataset[Any]:
        """Return the training images with their instances, augmented, as the network takes them."""

    @abstractmethod
    def _find(self, model: nn.Module, source: InstanceSource, size: Size | None, device: torch.device) -> Results:
        """Return the results on the validation images, the same on each rank."""

    @abstractmethod
    def _exported(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the state of a model without what only training needs."""

    def _surroundings(self) -> AbstractContextManager[None]:
        """Return what a run of the framework goes on in."""
        return nullcontext()

    def _resolution(self, size: Size | None) -> str:
        """Return at which resolution masks are judged."""
        return told(size)

    def _judge(self, source: InstanceSource, size: Size | None, results: Results) -> dict[str, Any]:
        verdict: list[Any] = [None]
        if rank() == 0:
            ground_truth = source.ground_truth("val")
            verdict = [judge(self.evaluators, ground_truth if size is None else resized(ground_truth, *size), results)]
        if world_size() > 1:
            dist.broadcast_object_list(verdict)
        return {**verdict[0], "evaluation": f"{verdict[0]['evaluation']}; {self._resolution(size)}"}
