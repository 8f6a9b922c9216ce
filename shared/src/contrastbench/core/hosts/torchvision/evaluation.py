"""What a detector finds in the images of a split, as COCO results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from contrastbench.core.data.coco import encode
from contrastbench.core.distributed import rank, world_size
from contrastbench.core.hosts.stream import one_thread
from contrastbench.core.hosts.torchvision.dataset import Pictures


@torch.no_grad()
def predict(
    model: nn.Module, pictures: Pictures, batch_size: int, device: torch.device, workers: int
) -> list[dict[str, Any]]:
    """Return the results on all images, in their order, the best of an image first; each rank takes a part of them.

    Args:
        model: a Mask R-CNN of torchvision.
        pictures: whole images.
        batch_size: images at once.
        device: where the model is.
        workers: loading processes.

    Returns:
        Dicts with ``image_id``, ``category_id``, ``segmentation`` (compressed RLE of the pixels whose probability is
        above one half), ``score``, ``bbox`` (left, top, width and height of the predicted box), the same on each rank.
    """
    model.eval()
    places = range(rank(), len(pictures), world_size())
    loader: DataLoader[Any] = DataLoader(
        Subset(pictures, places),
        batch_size,
        collate_fn=list,
        num_workers=workers,
        worker_init_fn=one_thread,
        generator=torch.Generator(),
    )
    found: list[list[dict[str, Any]]] = []
    for batch in loader:
        for detections in model([image.to(device) for image in batch]):
            image_id = pictures.images[places[len(found)]]["id"]
            found.append(_results(detections, image_id, pictures.source.category_ids))
    parts: list[Any] = [found]
    if world_size() > 1:
        parts = [None] * world_size()
        dist.all_gather_object(parts, found)
    return [result for place in range(len(pictures)) for result in parts[place % len(parts)][place // len(parts)]]


def _results(detections: dict[str, Tensor], image_id: Any, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    masks = (detections["masks"][:, 0] > 0.5).cpu().numpy()
    rows = zip(
        detections["boxes"].tolist(), detections["labels"].tolist(), detections["scores"].tolist(), masks, strict=True
    )
    return [
        {
            "image_id": image_id,
            "category_id": category_ids[label - 1],
            "segmentation": encode(mask),
            "score": score,
            "bbox": [left, top, right - left, bottom - top],
        }
        for (left, top, right, bottom), label, score, mask in rows
    ]
