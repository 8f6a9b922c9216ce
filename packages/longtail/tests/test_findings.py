"""Anchors, true categories, recall, detections and pairs against what was put there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pycocotools", reason="needs core's data extra")
from contrastbench.core.data.coco import encode
from contrastbench.longtail.contrast import Points
from contrastbench.longtail.findings import (
    Matches,
    child_pairs,
    detections,
    draw_anchors,
    farther,
    part_pairs,
    sizes,
)
from contrastbench.longtail.store import ProposalStore

SIDE = 20


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def annotation(number: int, image: int, category: int, mask: np.ndarray, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": encode(mask),
        "area": int(mask.sum()),
        "iscrowd": 0,
        **more,
    }


@pytest.fixture
def store(tmp_path: Path) -> ProposalStore:
    """Three proposals in image 1, none in image 2, one in image 3."""
    made = ProposalStore(tmp_path, "key")
    masks = torch.from_numpy(np.stack([square(0, 0, 10), square(1, 1, 4), square(12, 12, 6)]))
    made.write(
        1, masks, torch.tensor([[0.0, 0, 10, 10], [1, 1, 5, 5], [12, 12, 18, 18]]), torch.tensor([0.9, 0.8, 0.7])
    )
    made.write(2, masks[:0], torch.zeros(0, 4), torch.zeros(0))
    made.write(3, masks[:1], torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0.5]))
    return made


POINTS = Points(
    torch.tensor([[0.1, 0], [0.3, 0], [0.2, 0], [0.5, 0]]).double(),
    torch.tensor([1, 1, 1, 3]),
    torch.tensor([0, 1, 2, 0]),
)
TRUTH = {
    "images": [{"id": 1}, {"id": 2}, {"id": 3}],
    "annotations": [
        annotation(1, 1, 30, square(0, 0, 9)),  # IoU 0.81 with the first proposal
        annotation(2, 1, 40, square(1, 1, 4), part_of=1),  # is the second
        annotation(3, 1, 40, square(13, 13, 4)),  # IoU 16/36 with the third
        annotation(4, 2, 30, square(0, 0, 9)),
        annotation(5, 3, 40, square(0, 0, 10), iscrowd=1),
        annotation(6, 3, 30, square(10, 10, 5), part_of=99),
    ],
}


def test_a_proposal_is_of_the_category_it_overlaps_most(store: ProposalStore) -> None:
    assert Matches(TRUTH, store).categories({30: 0, 40: 1}).tolist() == [0, 1, -1, -1]


def test_recall_counts_annotations_that_are_met(store: ProposalStore) -> None:
    matches = Matches(TRUTH, store)

    assert matches.recall({30}) == pytest.approx(100 / 3)
    assert matches.recall({40}) == pytest.approx(50)
    assert matches.recall({30, 40}) == pytest.approx(40)
    assert matches.recall({50}) is None


def test_anchors_are_drawn_by_category() -> None:
    annotations = [annotation(n, 1, 1 + n % 2, square(0, 0, 5)) for n in range(20)]
    annotations += [annotation(20, 1, 3, square(0, 0, 5), iscrowd=1), annotation(21, 1, 4, square(0, 0, 5))]
    truth = {"annotations": annotations}

    drawn = draw_anchors(truth, [2, 1, 3, 4], 5, seed=0)

    assert [one["category_id"] for one in drawn] == [1] * 5 + [2] * 5 + [4]
    assert len({one["id"] for one in drawn}) == 11
    assert draw_anchors(truth, [1], 5, seed=0) == drawn[:5]
    assert draw_anchors(truth, [1], 5, seed=1) != drawn[:5]


def test_detections_are_those_of_the_wanted_labels(store: ProposalStore) -> None:
    labels, distances = torch.tensor([0, -1, 1, 2]), torch.tensor([0.0, 0.0, 1.0, 2.0])

    found = detections(POINTS, labels, distances, [10, 20, 30], {10, 30}, store)

    assert [(one["image_id"], one["category_id"]) for one in found] == [(1, 10), (3, 30)]
    assert [one["score"] for one in found] == pytest.approx([0.9, 0.5])
    assert found[0]["bbox"] == [0, 0, 10, 10]
    assert found[0]["segmentation"] == encode(square(0, 0, 10))
    nearer = detections(POINTS, labels, distances, [10, 20, 30], {30}, store, nearness=0.5)
    assert nearer[0]["score"] == pytest.approx(0.5 * np.exp(-1))


def test_parts_and_children(store: ProposalStore) -> None:
    assert [(parent["id"], part["id"]) for parent, part in part_pairs(TRUTH)] == [(1, 2)]
    assert child_pairs(POINTS, store, 0.95, 0.5).tolist() == [[0, 1]]
    assert child_pairs(POINTS, store, 0.95, 0.1).tolist() == []
    assert farther(POINTS.points[:1], POINTS.points[1:2]) == 100
    assert farther(POINTS.points, POINTS.points.flip(0)) == 50
    assert farther(POINTS.points[:0], POINTS.points[:0]) is None


def test_sizes_are_coco_s(store: ProposalStore) -> None:
    assert {name: part.tolist() for name, part in sizes(POINTS, store).items()} == {
        "S": [True] * 4,
        "M": [False] * 4,
        "L": [False] * 4,
    }
