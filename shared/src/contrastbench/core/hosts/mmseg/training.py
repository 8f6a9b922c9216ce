"""Semantic training as an experiment: a network, data, a schedule, perhaps an objective; an evaluation at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from contrastbench.core.data.pictures import image_size
from contrastbench.core.data.sources import SegmentationSource, open_source
from contrastbench.core.data.verify import verify
from contrastbench.core.distributed import rank
from contrastbench.core.hosts.environment import environment, find_device, peak_memory
from contrastbench.core.hosts.merging import merged
from contrastbench.core.hosts.mmseg.dataset import SourceDataset
from contrastbench.core.hosts.mmseg.evaluation import Evaluation, evaluate, results
from contrastbench.core.hosts.mmseg.network import build_segmentor
from contrastbench.core.hosts.mmseg.predictions import write_predictions
from contrastbench.core.hosts.mmseg.running import Continuity, QuietRunner, segmentor_of
from contrastbench.core.hosts.mmseg.safe_globals import WEIGHTS_ONLY
from contrastbench.core.hosts.mmseg.schedule import SegmentorSchedule
from contrastbench.core.hosts.mmseg.seat import PREFIX, exported_state, objective_state
from contrastbench.core.hosts.mmseg.transforms import PackEvaluated
from contrastbench.core.hosts.outcome import (
    WEIGHTS,
    finish,
    load_weights,
    read_outcome,
    read_weights,
    take_from_first_rank,
    write_weights,
)
from contrastbench.core.hosts.resolution import Size, read_size, told
from contrastbench.core.hosts.stream import batches
from contrastbench.core.hosts.trainer import CHECKPOINT, Report
from contrastbench.core.metrics import mean_iou
from contrastbench.core.metrics.evaluated import SegmentationMetric

OBJECTIVE = "objective.pth"
"""File that a finished run leaves beside its weights where there is an objective: the objective's own, which inference
has no use for (a figure may)."""


class SemanticTraining:
    """Train a semantic segmentation network and measure mIoU on the validation split.

    The last weights are evaluated (or their running mean), never the best on validation. Images are evaluated whole,
    at ``data.size`` where it is given, and at one scale unless ``evaluation`` says otherwise: the result names that
    resolution and the scales. The same arguments give the same result; on a CPU to the bit, interrupted and resumed
    or not, for the same number of threads.

    Launched by ``torchrun`` (``RANK`` in the environment), it trains on all ranks, and every rank returns the result.

    Args:
        network: backbone and heads, as :func:`~contrastbench.core.hosts.mmseg.network.build_segmentor` takes them.
        data: ``name``, ``size`` and the source's options, as :func:`~contrastbench.core.data.sources.open_source`
            takes them.
        schedule: as :class:`~contrastbench.core.hosts.mmseg.schedule.SegmentorSchedule`.
        objective: ``type`` and options, ``taps`` among them where wanted; None for the baseline.
        seed: of weights, order of samples, augmentation.
        threads: of the CPU; None leaves torch's own number.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        evaluation: as :class:`~contrastbench.core.hosts.mmseg.evaluation.Evaluation`: ``scales``, ``flip``, and
            ``metrics`` beside mIoU; None for mIoU at a single scale.

    Raises:
        InputError: the schedule or the evaluation has an unknown or impossible option, or the device is not there.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        data: Mapping[str, Any],
        schedule: Mapping[str, Any],
        objective: Mapping[str, Any] | None = None,
        seed: int = 0,
        threads: int | None = None,
        device: str = "auto",
        evaluation: Mapping[str, Any] | None = None,
    ) -> None:
        self.network, self.data, self.objective = network, data, objective
        self.schedule = SegmentorSchedule.read(schedule)
        self.evaluation = Evaluation.read(evaluation)
        self.seed, self.threads = seed, threads
        self.device = find_device(device)

    def fingerprint(self) -> str:
        """Return what names the data by content, after reading all of them once.

        Raises:
            InputError: something is wrong with the data.
        """
        source = open_source(self.data)
        return verify(source, instances=_need_instances(self.evaluation.build(source)))

    def run(self, run_dir: Path, report: Report = lambda done, total: None) -> dict[str, Any]:
        """Train, going on from a checkpoint in ``run_dir`` if there is one, and evaluate.

        Args:
            run_dir: the run's own folder; logs and the checkpoint are kept there. A finished run leaves the evaluated
                weights as ``weights.pth``, the objective's as ``objective.pth``, what it measured as ``metrics.json``,
                and no checkpoint; called again, it returns that.
            report: called after every step.

        Returns:
            ``mIoU`` and ``mean_accuracy`` in points; ``per_class`` with ``IoU`` and ``accuracy`` by class name (None
            where a class has none); beside these what the other metrics give; ``evaluation``, how it was measured;
            ``iterations``; ``parameters`` of the exported network; ``train_seconds``, over all its interruptions;
            ``val_seconds``; ``peak_memory_bytes`` since the run began or went on (on a GPU what torch allocated
            there, else the process's); ``counts``, what the objective last returned.

        Raises:
            InputError: bad data or configuration.
            NonFiniteLossError: a loss was NaN or infinite.
        """
        source, size = open_source(self.data), read_size(self.data)
        earlier = read_outcome(run_dir)
        if earlier is not None:
            report(self.schedule.iterations, self.schedule.iterations)
            return earlier
        metrics = self.evaluation.build(source)
        with (
            environment(self.seed, self.threads, self.device) as device,
            DefaultScope.overwrite_default_scope("mmseg"),
        ):
            # Before the training, so that what is missing is missed now.
            val = SourceDataset(source, "val", size, [PackEvaluated()], True, _need_instances(metrics))
            runner, continuity = self._runner(source, size, run_dir, report, device)
            try:
                runner.train()
                model = segmentor_of(runner)
                if continuity.average is not None:
                    model.load_state_dict(continuity.average.mean, strict=False)
                exported = exported_state(model)
                take_from_first_rank(exported)
                start = time.perf_counter()
                loading = self.schedule.val_batch_size, device, self.schedule.workers
                matrix = evaluate(model, val, *loading, self.evaluation.passes, metrics)
                measured = results(metrics)
                val_seconds = time.perf_counter() - start
            finally:
                runner.close()
            about = {
                "iterations": self.schedule.iterations,
                "parameters": sum(p.numel() for n, p in model.named_parameters() if n in exported),
                "train_seconds": continuity.seconds,
                "val_seconds": val_seconds,
                "peak_memory_bytes": peak_memory(device),
                "counts": {n.removeprefix(PREFIX): v for n, v in continuity.counts.items() if n.startswith(PREFIX)},
            }
            outcome = {**merged([self._scores(matrix, source, size), *measured]), **about}
            if rank() == 0:
                write_weights(run_dir / WEIGHTS, exported)
                if self.objective is not None:
                    write_weights(run_dir / OBJECTIVE, objective_state(model))
                finish(run_dir, outcome, CHECKPOINT)
        return outcome

    def write_predictions(
        self, run_dir: Path, folder: Path, split: str = "test", report: Report = lambda done, total: None
    ) -> int:
        """Predict a split with the weights of a finished run, as label maps at the images' own resolution.

        Of Cityscapes' ``test`` these are what the benchmark's server takes. Images are shown to the network at
        ``data.size`` and averaged over the scales of ``evaluation``. What is there already is not done again.

        Args:
            run_dir: folder of the finished run.
            folder: where to write; see :func:`~contrastbench.core.hosts.mmseg.predictions.write_predictions`.
            split: ``"train"``, ``"val"`` or ``"test"``.
            report: called after every image.

        Returns:
            The number of images of the split.

        Raises:
            InputError: the run is not finished or not of this network, the data have no such split, or ``folder``
                holds something else.
        """
        source, size = open_source(self.data), read_size(self.data)
        state = read_weights(run_dir)
        with (
            environment(self.seed, self.threads, self.device) as device,
            DefaultScope.overwrite_default_scope("mmseg"),
        ):
            model = build_segmentor({**self.network, "pretrained": None}, None, source, (1, 1), False)
            load_weights(model, state, run_dir)
            return write_predictions(model.to(device), source, folder, split, size, self.evaluation.passes, report)

    def _scores(self, matrix: torch.Tensor, source: SegmentationSource, size: Size | None) -> dict[str, Any]:
        scores = mean_iou(matrix)
        return {
            "mIoU": scores.miou,
            "mean_accuracy": scores.mean_accuracy,
            "per_class": {
                "IoU": _by_class(source.classes, scores.iou),
                "accuracy": _by_class(source.classes, scores.accuracy),
            },
            "evaluation": f"mIoU, {self.evaluation.passes}, {told(size)}",
        }

    def _runner(
        self,
        source: SegmentationSource,
        size: Size | None,
        run_dir: Path,
        report: Report,
        device: torch.device,
    ) -> tuple[QuietRunner, Continuity]:
        schedule = self.schedule
        height, width = size or image_size(source.train[0][0])
        distributed = dist.is_initialized()
        model = build_segmentor(
            self.network,
            self.objective,
            source,
            schedule.crop or (height, width),
            distributed and device.type == "cuda",
        )
        train = SourceDataset(source, "train", size, schedule.pipeline((height, width), size is None))
        continuity = Continuity(schedule.interval, schedule.average, report)
        checkpoint = run_dir / CHECKPOINT
        runner = QuietRunner(
            device=device,
            unused=self.objective is not None,
            model=model,
            work_dir=run_dir,
            train_dataloader=batches(train, schedule, self.seed, pseudo_collate, device),
            train_cfg={"type": "StreamLoop", "max_iters": schedule.iterations},
            optim_wrapper={
                "type": "AmpOptimWrapper" if schedule.amp and device.type == "cuda" else "OptimWrapper",
                "optimizer": schedule.optimizer_options(),
            },
            param_scheduler=schedule.learning_rate_config(),
            default_hooks={
                "logger": {"type": "LoggerHook", "interval": min(50, schedule.interval), "log_metric_by_epoch": False},
                "sampler_seed": None,
                "checkpoint": None,
            },
            custom_hooks=[continuity],
            load_from=f"{WEIGHTS_ONLY}{checkpoint}" if checkpoint.is_file() else None,
            resume=checkpoint.is_file(),
            launcher="pytorch" if distributed else "none",
            env_cfg={"mp_cfg": {"mp_start_method": torch.multiprocessing.get_start_method()}},
            randomness={"seed": self.seed},
        )
        return runner, continuity


def _need_instances(metrics: Sequence[SegmentationMetric]) -> bool:
    return any(metric.needs_instances for metric in metrics)


def _by_class(classes: tuple[str, ...], values: tuple[float, ...]) -> dict[str, float | None]:
    # NaN is no JSON.
    return {name: None if value != value else value for name, value in zip(classes, values, strict=True)}
