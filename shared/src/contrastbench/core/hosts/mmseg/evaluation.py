"""Evaluation of a segmentor on a split: whole images, mIoU and whatever other metrics are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from contrastbench.core.building import build_metric
from contrastbench.core.data.sources import SegmentationSource
from contrastbench.core.distributed import all_sum, rank, world_size
from contrastbench.core.errors import InputError, unknown_name
from contrastbench.core.hosts.merging import merged
from contrastbench.core.hosts.mmseg.dataset import SourceDataset
from contrastbench.core.hosts.mmseg.inference import ONE_PASS, Passes, predict
from contrastbench.core.metrics import confusion
from contrastbench.core.metrics.evaluated import EvaluatedImage, SegmentationMetric

_OPTIONS = ("scales", "flip", "metrics")
_PROTOCOL = ("needs_features", "needs_instances", "update", "state", "merge", "compute")
_OURS: dict[str, Any] = {"mIoU": None, "mean_accuracy": None, "per_class": {"IoU": {}, "accuracy": {}}}


@dataclass(frozen=True)
class Evaluation:
    """The options under ``evaluation``.

    Attributes:
        passes: ``scales`` and ``flip``: what is averaged over.
        metrics: of each metric beside mIoU, ``type`` (the dotted path of a class) and its options.
    """

    passes: Passes = ONE_PASS
    metrics: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, options: Mapping[str, Any] | None) -> Evaluation:
        """Return the evaluation that a mapping gives; mIoU at a single scale where there is none.

        Raises:
            InputError: an option is unknown or impossible.
        """
        options = options or {}
        for name in options:
            if name not in _OPTIONS:
                raise unknown_name("option of evaluation", name, _OPTIONS)
        metrics = options.get("metrics") or ()
        if not isinstance(metrics, (list, tuple)) or not all(isinstance(metric, Mapping) for metric in metrics):
            raise InputError(f"evaluation.metrics is {metrics!r}; it must be a list of mappings, each with a 'type'")
        return cls(Passes.read(options), tuple(metrics))

    def build(self, source: SegmentationSource) -> tuple[SegmentationMetric, ...]:
        """Return the metrics, nothing counted yet.

        Args:
            source: the data: number and names of classes and the ignore index, for metrics that take them.

        Raises:
            InputError: there is no such metric or option; two have results of one name; or one needs features, which
                are those at scale 1, and that scale is not among ``scales``.
        """
        provided = {
            "num_classes": len(source.classes),
            "ignore_index": source.ignore_index,
            "classes": source.classes,
        }
        metrics = tuple(build_metric(config, provided) for config in self.metrics)
        for metric, config in zip(metrics, self.metrics, strict=True):
            lacking = [name for name in _PROTOCOL if not hasattr(metric, name)]
            if lacking:
                raise InputError(
                    f"evaluation.metrics: {config['type']} is no segmentation metric, it has no {', '.join(lacking)}; "
                    "see contrastbench.core.metrics.SegmentationMetric"
                )
        merged([_OURS, *(metric.compute() for metric in metrics)])  # now rather than after the training
        if any(metric.needs_features for metric in metrics) and 1.0 not in self.passes.scales:
            raise InputError("a metric looks at features, which are those at scale 1; add 1.0 to evaluation.scales")
        return metrics


@torch.no_grad()
def evaluate(
    model: nn.Module,
    dataset: SourceDataset,
    batch_size: int,
    device: torch.device,
    workers: int,
    passes: Passes = ONE_PASS,
    metrics: Sequence[SegmentationMetric] = (),
) -> Tensor:
    """Return the confusion matrix over a dataset, the sum over ranks, each of which takes a part.

    Args:
        model: a segmentor.
        dataset: its samples are compared with their labels at the size they come in.
        batch_size: images at once.
        device: where the model is.
        workers: loading processes.
        passes: what is averaged over.
        metrics: count in this rank's part; :func:`results` puts the parts together.

    Returns:
        ``[C, C]`` (int64) on the CPU, as of :func:`contrastbench.core.metrics.confusion`.

    Raises:
        InputError: images of one batch differ in size.
    """
    model.eval()
    classes, ignored = len(dataset.source.classes), dataset.source.ignore_index
    with_features = any(metric.needs_features for metric in metrics)
    matrix = torch.zeros(classes, classes, dtype=torch.int64, device=device)
    mine = range(rank(), len(dataset), world_size())
    part: Subset[Any] = Subset(dataset, mine)
    loader: DataLoader[Any] = DataLoader(part, batch_size, collate_fn=pseudo_collate, num_workers=workers)
    places = iter(mine)
    for batch in loader:
        if len({image.shape for image in batch["inputs"]}) > 1:
            raise InputError("images of a validation batch differ in size; set schedule.val_batch_size=1 or data.size")
        predictions, features = predict(model, batch, passes, with_features)
        for i, (prediction, sample) in enumerate(zip(predictions, batch["data_samples"], strict=True)):
            labels = sample.gt_sem_seg.data.squeeze(0).to(device)
            matrix += confusion(prediction, labels, classes, ignored)
            instances = sample.instances.data.squeeze(0).to(device) if "instances" in sample else None
            evaluated = EvaluatedImage(
                prediction, labels, next(places), features[i] if features is not None else None, instances
            )
            for metric in metrics:
                metric.update(evaluated)
    return all_sum(matrix).cpu()


def results(metrics: Sequence[SegmentationMetric]) -> list[dict[str, Any]]:
    """Return what each metric gives over the parts of all ranks, the same on every rank."""
    if world_size() == 1:
        return [metric.compute() for metric in metrics]
    states: list[Any] = [None] * world_size()
    dist.all_gather_object(states, [metric.state() for metric in metrics])
    outcome: list[Any] = [None]
    if rank() == 0:
        for others in states[1:]:
            for metric, state in zip(metrics, others, strict=True):
                metric.merge(state)
        outcome = [[metric.compute() for metric in metrics]]
    # Sums in another order differ in their last digits: one rank's are everyone's.
    dist.broadcast_object_list(outcome, src=0)
    computed: list[dict[str, Any]] = outcome[0]
    return computed
