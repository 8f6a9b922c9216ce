"""What a detector finds in the images of a split, as COCO results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contrastbench.core.data.coco import encode
from contrastbench.core.hosts.finding import Results, find
from contrastbench.core.hosts.torchvision.dataset import Pictures


@torch.no_grad()
def predict(model: nn.Module, pictures: Pictures, batch_size: int, device: torch.device, workers: int) -> Results:
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

    def of_batch(places: Sequence[int], batch: list[Tensor]) -> list[Results]:
        ids = [pictures.images[place]["id"] for place in places]
        found = model([image.to(device) for image in batch])
        return [_results(*one, pictures.source.category_ids) for one in zip(found, ids, strict=True)]

    return find(pictures, len(pictures), batch_size, workers, of_batch)


def _results(detections: dict[str, Tensor], image_id: Any, category_ids: Sequence[int]) -> Results:
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
