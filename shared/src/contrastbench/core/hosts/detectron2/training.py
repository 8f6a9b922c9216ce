"""Instance segmentation in detectron2 as an experiment: a network, data, a schedule, perhaps an objective."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from contrastbench.core.data.instances import InstanceSource
from contrastbench.core.hosts.detectron2.dataset import Mapped, annotated, records
from contrastbench.core.hosts.detectron2.evaluation import predict
from contrastbench.core.hosts.detectron2.network import build_network, configure
from contrastbench.core.hosts.detectron2.quiet import quiet
from contrastbench.core.hosts.detectron2.running import DetectronTrainer
from contrastbench.core.hosts.detectron2.schedule import DetectronSchedule
from contrastbench.core.hosts.detectron2.seat import exported_state
from contrastbench.core.hosts.finding import Results
from contrastbench.core.hosts.instance_experiment import InstanceExperiment
from contrastbench.core.hosts.resolution import Size


class InstanceTraining(InstanceExperiment):
    """Train a Mask R-CNN of detectron2 and judge its masks on the validation split.

    Batch statistics, where there are any, are each rank's own, and the first rank's are evaluated. All else, the
    weights in ``weights.pth`` under ``model``, as detectron2 saves them, is as of
    :class:`~contrastbench.core.hosts.instance_experiment.InstanceExperiment`.

    Args:
        network: as :func:`~contrastbench.core.hosts.detectron2.network.configure` takes it.
        data: as of ``InstanceExperiment``, like all that follow.
        schedule: as :class:`~contrastbench.core.hosts.detectron2.schedule.DetectronSchedule`.
        objective: ``type`` and options of a mask objective; None for the baseline.
        evaluators: of the results.
        seed: of weights, order of samples, augmentation.
        threads: of the CPU.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
    """

    schedule_type = DetectronSchedule
    trainer_type = DetectronTrainer
    weights_key = "model"
    schedule: DetectronSchedule

    def _build(self, source: InstanceSource, device: torch.device) -> nn.Module:
        cfg = configure(self.network, self.objective, len(source.classes))
        return build_network(cfg, self.network.get("weights")).to(device)

    def _samples(self, model: nn.Module, source: InstanceSource, size: Size | None) -> Mapped:
        found = annotated(records(source, "train"))
        return Mapped(found, self.schedule.train_augmentations(size), str(model.input_format), train=True)

    def _find(self, model: nn.Module, source: InstanceSource, size: Size | None, device: torch.device) -> Results:
        views = self.schedule.val_augmentations(size)
        val = Mapped(records(source, "val"), views, str(model.input_format), train=False, size=size)
        return predict(model, val, source.category_ids, self.schedule.val_batch_size, self.schedule.workers)

    def _exported(self, model: nn.Module) -> dict[str, Tensor]:
        return exported_state(model)

    def _surroundings(self) -> AbstractContextManager[None]:
        return quiet()

    def _resolution(self, size: Size | None) -> str:
        side = self.schedule.val_short_side
        return super()._resolution(size) + (f", found at a short side of {side}" if side is not None else "")
