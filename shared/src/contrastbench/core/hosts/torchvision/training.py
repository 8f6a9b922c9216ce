"""Instance segmentation in torchvision as an experiment: a network, data, a schedule, perhaps an objective."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from contrastbench.core.data.instances import InstanceSource
from contrastbench.core.hosts.finding import Results
from contrastbench.core.hosts.instance_experiment import InstanceExperiment
from contrastbench.core.hosts.resolution import Size
from contrastbench.core.hosts.torchvision.augment import Augmentation
from contrastbench.core.hosts.torchvision.dataset import Instances, Pictures
from contrastbench.core.hosts.torchvision.evaluation import predict
from contrastbench.core.hosts.torchvision.network import build_mask_rcnn
from contrastbench.core.hosts.torchvision.seat import exported_state, fit_mask_objective


class InstanceTraining(InstanceExperiment):
    """Train a Mask R-CNN of torchvision and judge its masks on the validation split.

    Statistics of batches are taken over all ranks on GPUs; on CPUs each rank has its own, and the first rank's are
    evaluated. All else, the weights in ``weights.pth`` under ``state_dict``, is as of
    :class:`~contrastbench.core.hosts.instance_experiment.InstanceExperiment`.

    Args:
        network: as :func:`~contrastbench.core.hosts.torchvision.network.build_mask_rcnn` takes it.
        data: as of ``InstanceExperiment``, like all that follow.
        schedule: as :class:`~contrastbench.core.hosts.instance_schedule.InstanceSchedule`.
        objective: ``type`` and options of a mask objective; None for the baseline.
        evaluators: of the results.
        seed: of weights, order of samples, augmentation.
        threads: of the CPU.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
    """

    def _build(self, source: InstanceSource, device: torch.device) -> nn.Module:
        model: nn.Module = build_mask_rcnn(self.network, len(source.classes))
        if self.objective is not None:
            fit_mask_objective(model, self.objective)
        if dist.is_initialized() and device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model.to(device)

    def _samples(self, model: nn.Module, source: InstanceSource, size: Size | None) -> Instances:
        schedule = self.schedule
        augmentation = Augmentation(schedule.crop, schedule.scale, schedule.flip, schedule.jitter)
        return Instances(Pictures(source, "train", size), augmentation)

    def _find(self, model: nn.Module, source: InstanceSource, size: Size | None, device: torch.device) -> Results:
        schedule = self.schedule
        return predict(model, Pictures(source, "val", size), schedule.val_batch_size, device, schedule.workers)

    def _exported(self, model: nn.Module) -> dict[str, Tensor]:
        return exported_state(model)
