"""What is made of clusters: anchors for their labels, detections, and what they are measured by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrastbench.core.data.coco import to_rle
from contrastbench.core.draws import generator
from contrastbench.longtail.contrast import Points
from contrastbench.longtail.overlaps import children
from contrastbench.longtail.store import Proposals, ProposalStore

MATCH = 0.5
"""Mask IoU from which on a proposal is taken for the object that is annotated."""

_SIZES = (32**2, 96**2)  # COCO's limits of small and large, in pixels


def draw_anchors(
    ground_truth: Mapping[str, Any], category_ids: Collection[int], each: int, seed: int
) -> list[Mapping[str, Any]]:
    """Return up to so many annotations of each category at random, crowds left out, category after category.

    Args:
        ground_truth: a COCO dict.
        category_ids: of the categories that may be labels.
        each: how many of a category.
        seed: of the draw; a category's own does not depend on the other categories.
    """
    of_category: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in ground_truth["annotations"]:
        if not annotation.get("iscrowd", 0) and annotation["area"] > 0:
            of_category[annotation["category_id"]].append(annotation)
    drawn: list[Mapping[str, Any]] = []
    for number in sorted(category_ids):
        own = of_category[number]
        order = torch.randperm(len(own), generator=generator(seed, number))[:each]
        drawn += [own[place] for place in order.sort().values.tolist()]
    return drawn


class Matches:
    """How well each annotation of a split is met by its image's proposals.

    Args:
        ground_truth: a COCO dict at the size of the proposals.
        store: the proposals.
    """

    def __init__(self, ground_truth: Mapping[str, Any], store: ProposalStore) -> None:
        self._of_image: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for annotation in ground_truth["annotations"]:
            self._of_image[annotation["image_id"]].append(annotation)
        self._images, self._store = ground_truth["images"], store

    def categories(self, places: Mapping[int, int]) -> Tensor:
        """Return the true category of each proposal, image after image, ``[n]`` (int64).

        It is that of the annotation it overlaps most, from an IoU of one half on, else -1. Crowds are nobody's.

        Args:
            places: of each category by its id.
        """
        found = [torch.zeros(0, dtype=torch.int64)]
        for image in self._images:
            proposals = self._store.read(image["id"])
            truth = [one for one in self._of_image[image["id"]] if not one.get("iscrowd", 0)]
            categories = torch.full((len(proposals),), -1)
            if truth and len(proposals):
                best = _overlaps(proposals, truth).max(1)
                categories = torch.tensor([places[one["category_id"]] for one in truth])[best.indices]
                categories[best.values < MATCH] = -1
            found.append(categories)
        return torch.cat(found)

    def recall(self, category_ids: Collection[int]) -> float | None:
        """Return the percentage of annotations of these categories that some proposal meets; None without any."""
        met, total = 0, 0
        for image in self._images:
            truth = [
                one
                for one in self._of_image[image["id"]]
                if one["category_id"] in category_ids and not one.get("iscrowd", 0)
            ]
            proposals = self._store.read(image["id"])
            total += len(truth)
            if truth and len(proposals):
                met += int((_overlaps(proposals, truth).max(0).values >= MATCH).sum())
        return 100 * met / total if total else None


def _overlaps(proposals: Proposals, truth: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the mask IoU ``[n, a]`` (float64) of proposals and annotations."""
    from pycocotools import mask

    found = [to_rle(rle, *proposals.size) for rle in proposals.rles]
    own = [to_rle(one["segmentation"], *proposals.size) for one in truth]
    return torch.from_numpy(np.asarray(mask.iou(found, own, [0] * len(own))))


def sizes(points: Points, store: ProposalStore) -> dict[str, Tensor]:
    """Return which proposals are small, medium and large ``[n]`` (bool), by COCO's areas, under S, M and L."""
    area = [torch.zeros(0, dtype=torch.int64)]
    for image in points.images.unique_consecutive().tolist():
        area.append(store.read(image).intersections().diagonal())
    pixels = torch.cat(area)
    small, large = pixels < _SIZES[0], pixels > _SIZES[1]
    return {"S": small, "M": ~small & ~large, "L": large}


def detections(
    points: Points,
    labels: Tensor,
    distances: Tensor,
    category_ids: Sequence[int],
    wanted: Collection[int],
    store: ProposalStore,
    nearness: float = 0.0,
) -> list[dict[str, Any]]:
    """Return COCO results of the proposals whose cluster has a label, the others are dropped.

    Args:
        points: the proposals of the validation split.
        labels: ``[n]`` (int64), the place of the category of each one's cluster, -1 for a novel one.
        distances: ``[n]``, of each to the centre of its cluster.
        category_ids: id of each category by its place.
        wanted: ids of the categories that are kept.
        store: the proposals.
        nearness: the score is multiplied by ``exp(-nearness * distance)``.
    """
    results = []
    read: tuple[int, Proposals] | None = None
    rows = zip(points.images.tolist(), points.places.tolist(), labels.tolist(), distances.tolist(), strict=True)
    for image, place, label, distance in rows:
        if label < 0 or category_ids[label] not in wanted:
            continue
        if read is None or read[0] != image:
            read = image, store.read(image)
        left, top, right, bottom = read[1].boxes[place].tolist()
        results.append(
            {
                "image_id": image,
                "category_id": category_ids[label],
                "segmentation": dict(read[1].rles[place]),
                "score": float(read[1].scores[place]) * float(np.exp(-nearness * distance)),
                "bbox": [left, top, right - left, bottom - top],
            }
        )
    return results


def part_pairs(ground_truth: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the annotated parts with the object that each is a part of, where the data say so (``part_of``)."""
    known = {annotation["id"]: annotation for annotation in ground_truth["annotations"]}
    pairs = [(known.get(part.get("part_of", 0)), part) for part in ground_truth["annotations"]]
    return [(parent, part) for parent, part in pairs if parent is not None]


def child_pairs(points: Points, store: ProposalStore, inside: float, area_ratio: float) -> Tensor:
    """Return the proposals that lie in another much larger one of their image, ``[m, 2]`` (int64): parent and child.

    Args:
        points: the proposals.
        store: of their masks.
        inside: as of :func:`~contrastbench.longtail.overlaps.children`.
        area_ratio: likewise.
    """
    found, start = [torch.zeros(0, 2, dtype=torch.int64)], 0
    for image in points.images.unique_consecutive().tolist():
        pairs = store.read(image).intersections()
        found.append(children(pairs, inside, area_ratio).nonzero() + start)
        start += len(pairs)
    return torch.cat(found)


def farther(parents: Tensor, children: Tensor) -> float | None:
    """Return the percentage of pairs whose child is farther from the origin; by chance it would be 50.

    Args:
        parents: ``[m, D]``.
        children: ``[m, D]``.
    """
    if not len(parents):
        return None
    return 100 * float((children.norm(dim=1) > parents.norm(dim=1)).double().mean())
