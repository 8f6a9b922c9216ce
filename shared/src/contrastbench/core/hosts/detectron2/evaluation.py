"""What a detector of detectron2 finds in the images of a split, as COCO results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from torch import nn
from torch.utils.data import DataLoader, Subset

from contrastbench.core.distributed import rank, world_size
from contrastbench.core.hosts.detectron2.dataset import Mapped
from contrastbench.core.hosts.stream import one_thread


@torch.no_grad()
def predict(
    model: nn.Module, dataset: Mapped, category_ids: Sequence[int], batch_size: int, workers: int
) -> list[dict[str, Any]]:
    """Return the results on all images, in their order, the best of an image first; each rank takes a part of them.

    Args:
        model: a detector.
        dataset: whole images.
        category_ids: category in the annotations of each class.
        batch_size: images at once.
        workers: loading processes.

    Returns:
        Dicts with ``image_id``, ``category_id``, ``segmentation`` (compressed RLE), ``score`` and ``bbox``, the same on
        each rank.
    """
    model.eval()
    part: Subset[Any] = Subset(dataset, range(rank(), len(dataset), world_size()))
    loader: DataLoader[Any] = DataLoader(
        part,
        batch_size,
        collate_fn=list,
        num_workers=workers,
        worker_init_fn=one_thread,
        generator=torch.Generator(),
    )
    found: list[list[dict[str, Any]]] = []
    for batch in loader:
        for sample, output in zip(batch, model(batch), strict=True):
            results = instances_to_coco_json(output["instances"].to("cpu"), sample["image_id"])
            found.append([{**result, "category_id": category_ids[result["category_id"]]} for result in results])
    parts: list[Any] = [found]
    if world_size() > 1:
        parts = [None] * world_size()
        dist.all_gather_object(parts, found)
    return [result for place in range(len(dataset)) for result in parts[place % len(parts)][place // len(parts)]]
