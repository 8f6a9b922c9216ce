"""Evaluation of a segmentor on a split: one scale, whole images."""

from __future__ import annotations

from typing import Any, cast

import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from contrastbench.core.distributed import all_sum, rank, world_size
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg.dataset import SourceDataset
from contrastbench.core.metrics import confusion


@torch.no_grad()
def evaluate(model: nn.Module, dataset: SourceDataset, batch_size: int, device: torch.device, workers: int) -> Tensor:
    """Return the confusion matrix over a dataset, the sum over ranks, each of which takes a part.

    Args:
        model: a segmentor.
        dataset: its samples are compared with their labels at the size they come in.
        batch_size: images at once.
        device: where the model is.
        workers: loading processes.

    Returns:
        ``[C, C]`` (int64) on the CPU, as of :func:`contrastbench.core.metrics.confusion`.

    Raises:
        InputError: images of one batch differ in size.
    """
    model.eval()
    classes, ignored = len(dataset.source.classes), dataset.source.ignore_index
    matrix = torch.zeros(classes, classes, dtype=torch.int64, device=device)
    part: Subset[Any] = Subset(dataset, range(rank(), len(dataset), world_size()))
    loader: DataLoader[Any] = DataLoader(part, batch_size, collate_fn=pseudo_collate, num_workers=workers)
    for batch in loader:
        if len({image.shape for image in batch["inputs"]}) > 1:
            raise InputError("images of a validation batch differ in size; set schedule.val_batch_size=1 or data.size")
        for sample in cast(Any, model).val_step(batch):
            matrix += confusion(sample.pred_sem_seg.data, sample.gt_sem_seg.data.to(device), classes, ignored)
    return all_sum(matrix).cpu()
