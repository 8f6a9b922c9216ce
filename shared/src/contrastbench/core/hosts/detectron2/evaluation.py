"""What a detector of detectron2 finds in the images of a split, as COCO results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from torch import nn

from contrastbench.core.hosts.detectron2.dataset import Mapped
from contrastbench.core.hosts.finding import Results, find


@torch.no_grad()
def predict(model: nn.Module, dataset: Mapped, category_ids: Sequence[int], batch_size: int, workers: int) -> Results:
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

    def of_batch(places: Sequence[int], batch: list[Any]) -> list[Results]:
        found = []
        for sample, output in zip(batch, model(batch), strict=True):
            results = instances_to_coco_json(output["instances"].to("cpu"), sample["image_id"])
            found.append([{**result, "category_id": category_ids[result["category_id"]]} for result in results])
        return found

    return find(dataset, len(dataset), batch_size, workers, of_batch)
