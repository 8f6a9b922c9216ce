import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_instances import annotation, ground_truth, square, write_coco

from contrastbench.core.data.instances import coco, occluded
from contrastbench.core.errors import InputError


def boxes(*by_image: list[list[float]], crowd: int = 0) -> dict[str, Any]:
    """Return a COCO dict of boxes, those of the first image and so on."""
    annotations = [
        {"id": 10 * image + place, "image_id": image, "category_id": 1 + place, "bbox": box, "iscrowd": crowd}
        for image, own in enumerate(by_image)
        for place, box in enumerate(own)
    ]
    return {"images": [{"id": image} for image in range(len(by_image))], "annotations": annotations, "categories": []}


def kept(truth: dict[str, Any], **options: Any) -> list[int]:
    return [image["id"] for image in occluded(truth, **options)["images"]]


def test_boxes_that_overlap_enough_are_kept() -> None:
    # IoU 1/3 and 1/7, of which the second is 1/4 of the smaller; a box inside a large one; apart; alone.
    truth = boxes(
        [[0, 0, 4, 4], [2, 0, 4, 4]],
        [[0, 0, 4, 4], [2, 2, 4, 4]],
        [[0, 0, 10, 10], [1, 1, 2, 2]],
        [[0, 0, 4, 4], [5, 5, 4, 4]],
        [[0, 0, 4, 4]],
    )

    assert kept(truth) == [0]
    assert kept(truth, measure="smaller") == [0, 1, 2]
    assert kept(truth, overlap=1 / 7) == [0, 1]


def test_rule_and_count_are_stated_and_annotations_stay() -> None:
    truth = {**boxes([[0, 0, 4, 4], [1, 0, 4, 4], [20, 20, 2, 2]], [[0, 0, 1, 1]]), "info": {"year": 2017}}

    subset = occluded(truth)

    assert subset["info"] == {"year": 2017, "subset": {"measure": "iou", "overlap": 0.2, "images": 1, "of": 2}}
    assert len(subset["annotations"]) == 3
    assert truth["info"] == {"year": 2017}


def test_crowds_do_not_count() -> None:
    with pytest.raises(InputError, match=r"no image has two boxes that overlap by 0\.2"):
        occluded(boxes([[0, 0, 4, 4], [0, 0, 4, 4]], crowd=1))


def test_boxes_without_area_overlap_nothing() -> None:
    with pytest.raises(InputError, match="no image"):
        occluded(boxes([[0, 0, 0, 4], [0, 0, 0, 4]]), measure="smaller")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measure": "union"}, "unknown measure of overlap"),
        ({"overlap": 0}, "overlap of two boxes is 0"),
        ({"overlap": 20}, "share above 0 and up to 1"),
    ],
)
def test_impossible_rules_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        occluded(boxes([[0, 0, 4, 4], [0, 0, 4, 4]]), **options)


sides = st.integers(0, 12)


@given(
    st.lists(st.lists(st.tuples(sides, sides, sides, sides).map(list), max_size=5), min_size=1, max_size=4),
    st.sampled_from(["iou", "smaller"]),
)
def test_every_pair_is_looked_at(by_image: list[list[list[float]]], measure: str) -> None:
    def pixels(box: list[float]) -> np.ndarray:
        x, y, width, height = (int(side) for side in box)
        grid = np.zeros((24, 24), bool)
        grid[y : y + height, x : x + width] = True
        return grid

    expected = []
    for image, own in enumerate(by_image):
        painted = [pixels(box) for box in own]
        for index, one in enumerate(painted):
            for other in painted[:index]:
                whole = (one | other).sum() if measure == "iou" else min(one.sum(), other.sum())
                if whole and (one & other).sum() / whole >= 0.2:
                    expected.append(image)
    if expected:
        assert kept(boxes(*by_image), measure=measure) == sorted(set(expected))
    else:
        with pytest.raises(InputError, match="no image"):
            occluded(boxes(*by_image), measure=measure)


def test_coco_validates_on_the_subset(tmp_path: Path) -> None:
    write_coco(tmp_path)
    truth = ground_truth()
    truth["annotations"].append(annotation(9, 3, 5, square(6, 4, 8)))
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(truth))

    source = coco(tmp_path, subset="occ")

    assert source.name == "COCO-OCC (rebuilt, n=1)"
    assert [image["id"] for image in source.val["images"]] == [3]
    assert len(source.train["images"]) == 2
    assert len(source.val["annotations"]) == 2
    with pytest.raises(InputError, match=r"overlap by 0\.99"):
        coco(tmp_path, subset="occ", subset_overlap=0.99)
