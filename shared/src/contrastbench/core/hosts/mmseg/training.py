"""Semantic training as an experiment: a network, data, a schedule, perhaps an objective; an evaluation at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.data import DataLoader

from contrastbench.core.data.pictures import image_size
from contrastbench.core.data.sources import SegmentationSource, open_source
from contrastbench.core.data.verify import verify
from contrastbench.core.distributed import rank, world_size
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.environment import environment, find_device, peak_memory
from contrastbench.core.hosts.mmseg.dataset import SourceDataset
from contrastbench.core.hosts.mmseg.evaluation import Evaluation, evaluate, merged, results
from contrastbench.core.hosts.mmseg.network import build_segmentor
from contrastbench.core.hosts.mmseg.predictions import write_predictions
from contrastbench.core.hosts.mmseg.running import CHECKPOINT, Continuity, QuietRunner, segmentor_of
from contrastbench.core.hosts.mmseg.safe_globals import WEIGHTS_ONLY
from contrastbench.core.hosts.mmseg.schedule import SegmentorSchedule
from contrastbench.core.hosts.mmseg.seat import PREFIX, exported_state, objective_state
from contrastbench.core.hosts.mmseg.transforms import PackEvaluated
from contrastbench.core.hosts.outcome import finish, read_outcome
from contrastbench.core.hosts.stream import Seeded, Stream, one_thread
from contrastbench.core.metrics import mean_iou
from contrastbench.core.metrics.evaluated import SegmentationMetric
from contrastbench.core.writing import whole

WEIGHTS = "weights.pth"
"""File in the run's folder that a finished run leaves: the evaluated weights, for a plain mmsegmentation model."""

OBJECTIVE = "objective.pth"
"""File that it leaves beside them where there is an objective: the objective's own weights, which inference has no use
for (a figure may)."""

Report = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""


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
            ``val_seconds``; ``peak_memory_bytes`` (on a GPU what torch allocated there, else the process's peak since
            it began); ``counts``, what the objective last returned.

        Raises:
            InputError: bad data or configuration.
            NonFiniteLossError: a loss was NaN or infinite.
        """
        source, size = open_source(self.data), self._size()
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
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            runner, continuity = self._runner(source, size, run_dir, report, device)
            try:
                runner.train()
                model = segmentor_of(runner)
                if continuity.average is not None:
                    model.load_state_dict(continuity.average.mean, strict=False)
                _agree(model)
                start = time.perf_counter()
                loading = self.schedule.val_batch_size, device, self.schedule.workers
                matrix = evaluate(model, val, *loading, self.evaluation.passes, metrics)
                measured = results(metrics)
                val_seconds = time.perf_counter() - start
            finally:
                runner.close()
            if rank() == 0:
                _write(run_dir, model)
            about = {
                "iterations": self.schedule.iterations,
                "parameters": sum(p.numel() for n, p in model.named_parameters() if not n.startswith(PREFIX)),
                "train_seconds": continuity.seconds,
                "val_seconds": val_seconds,
                "peak_memory_bytes": peak_memory(device),
                "counts": {n.removeprefix(PREFIX): v for n, v in continuity.counts.items() if n.startswith(PREFIX)},
            }
            outcome = {**merged([self._scores(matrix, source, size), *measured]), **about}
            if rank() == 0:
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
        source, size = open_source(self.data), self._size()
        weights = run_dir / WEIGHTS
        if not weights.is_file():
            raise InputError(f"'{run_dir}' holds no {WEIGHTS}: the run is not finished; run it to its end first")
        with (
            environment(self.seed, self.threads, self.device) as device,
            DefaultScope.overwrite_default_scope("mmseg"),
        ):
            model = build_segmentor({**self.network, "pretrained": None}, None, source, (1, 1), False)
            state = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
            try:
                model.load_state_dict(state, strict=True)
            except RuntimeError as error:
                raise InputError(f"'{weights}' holds weights of another network than the one configured") from error
            return write_predictions(model.to(device), source, folder, split, size, self.evaluation.passes, report)

    def _size(self) -> list[int] | None:
        size = self.data.get("size")
        if size is not None and (len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size)):
            raise InputError(f"data.size is {list(size)}; it must be [height, width] in pixels")
        return size

    def _scores(self, matrix: torch.Tensor, source: SegmentationSource, size: list[int] | None) -> dict[str, Any]:
        scores = mean_iou(matrix)
        resolution = f"{size[0]}x{size[1]}" if size is not None else "the images' own size"
        return {
            "mIoU": scores.miou,
            "mean_accuracy": scores.mean_accuracy,
            "per_class": {
                "IoU": _by_class(source.classes, scores.iou),
                "accuracy": _by_class(source.classes, scores.accuracy),
            },
            "evaluation": f"mIoU, {self.evaluation.passes}, {resolution}",
        }

    def _runner(
        self,
        source: SegmentationSource,
        size: list[int] | None,
        run_dir: Path,
        report: Report,
        device: torch.device,
    ) -> tuple[QuietRunner, Continuity]:
        schedule = self.schedule
        if schedule.batch_size % world_size():
            raise InputError(f"schedule.batch_size {schedule.batch_size} does not divide by {world_size()} ranks")
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
        stream = Stream(len(train), schedule.batch_size, schedule.iterations, self.seed, rank(), world_size())
        loader: DataLoader[Any] = DataLoader(
            Seeded(train, self.seed),
            batch_size=schedule.batch_size // world_size(),
            sampler=stream,
            collate_fn=pseudo_collate,
            num_workers=schedule.workers,
            worker_init_fn=one_thread,
            pin_memory=device.type == "cuda",
            # The loader draws a seed for its workers, which must not come from the generator the network uses.
            generator=torch.Generator(),
        )
        continuity = Continuity(schedule.interval, schedule.average, report)
        checkpoint = run_dir / CHECKPOINT
        runner = QuietRunner(
            device=device,
            unused=self.objective is not None,
            model=model,
            work_dir=run_dir,
            train_dataloader=loader,
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


def _agree(model: nn.Module) -> None:
    # Where batch statistics are each rank's own, so are their running means; the first rank's are the ones exported.
    if world_size() > 1:
        for value in exported_state(model).values():
            shared = value.contiguous()
            dist.broadcast(shared, 0)
            value.copy_(shared)


def _write(run_dir: Path, model: nn.Module) -> None:
    states = {WEIGHTS: exported_state(model), OBJECTIVE: objective_state(model)}
    for name, state in states.items():
        if state:
            with whole(run_dir / name) as file:
                # Contiguous, so that the file does not tell how the weights lay in memory.
                torch.save({"state_dict": {n: v.cpu().contiguous() for n, v in state.items()}}, file)


def _by_class(classes: tuple[str, ...], values: tuple[float, ...]) -> dict[str, float | None]:
    # NaN is no JSON.
    return {name: None if value != value else value for name, value in zip(classes, values, strict=True)}
