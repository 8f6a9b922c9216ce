import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written_instances import ground_truth, square

from contrastbench.core.data.coco import decode, encode, image_sizes, read_ground_truth
from contrastbench.core.errors import InputError

Change = Callable[[dict[str, Any]], Any]


def test_what_is_right_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(ground_truth()))

    assert read_ground_truth(path) == read_ground_truth(str(path)) == ground_truth()
    assert image_sizes(read_ground_truth(path)) == dict.fromkeys((1, 2, 3), (24, 32))


def test_what_may_be_left_out_is_filled_in() -> None:
    bare = ground_truth()
    for entry in bare["annotations"]:
        del entry["bbox"], entry["area"], entry["iscrowd"]
    before = copy.deepcopy(bare)

    assert read_ground_truth(bare) == ground_truth()
    assert bare == before


def test_all_encodings_are_taken() -> None:
    truth = ground_truth()
    truth["annotations"][0]["segmentation"] = [[3, 3, 11, 3, 11, 11, 3, 11]]
    truth["annotations"][1]["segmentation"] = {"size": [24, 32], "counts": [0, 768]}

    read = read_ground_truth(truth)

    assert np.array_equal(decode(read["annotations"][0]["segmentation"], 24, 32), square(3, 3, 8))
    assert decode(read["annotations"][1]["segmentation"], 24, 32).all()


def test_progress_is_told() -> None:
    calls: list[tuple[int, int]] = []

    read_ground_truth(ground_truth(), lambda done, total: calls.append((done, total)))

    assert calls == [(4, 4)]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file '.*nowhere\.json'"):
        read_ground_truth(tmp_path / "nowhere.json")


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_ground_truth(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)

    with pytest.raises(InputError, match=r"broken\.json' is not JSON"):
        read_ground_truth(path)


@pytest.mark.parametrize("content", [[], [{"image_id": 1}], {"images": []}, 3, {"images": 1, "annotations": 2}])
def test_what_is_not_coco_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content))

    with pytest.raises(InputError, match=r"other\.json' is not COCO ground truth: expected"):
        read_ground_truth(path)


@pytest.mark.parametrize("part", ["images", "annotations", "categories"])
def test_empty_ground_truth_is_refused(part: str) -> None:
    with pytest.raises(InputError, match=f"is empty: its list of {part} has no entry"):
        read_ground_truth({**ground_truth(), part: []})


def first(part: str, **values: Any) -> Change:
    def change(truth: dict[str, Any]) -> None:
        truth[part][1].update(values)

    return change


def without(part: str, key: str) -> Change:
    return lambda truth: truth[part][1].pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first("images", id=1), r"image 1 \(id 1\) has the same id as image 0"),
        (first("annotations", id=1), r"annotation 1 \(id 1\) has the same id as annotation 0"),
        (first("categories", id=5), r"category 1 \(id 5\) has the same id as category 0"),
        (first("categories", name="tile"), r"category 1 \(id 2\) is named 'tile' as another is"),
        (first("images", id="1"), "image 1 .*has id '1'; expected a whole number"),
        (first("images", height=0), "image 1 .*has height 0; expected a number of pixels"),
        (first("images", width=True), "image 1 .*has width True"),
        (without("images", "width"), "image 1 .*has no 'width'"),
        (without("categories", "name"), "category 1 .*has no 'name'"),
        (without("annotations", "image_id"), "annotation 1 .*has no 'image_id'"),
        (without("annotations", "id"), "annotation 1 has no 'id'"),
        (first("annotations", image_id=77), r"annotation 1 \(id 2\) names the image_id 77, and there is no such image"),
        (first("annotations", category_id=1), "annotation 1 .*names the category_id 1, and there is no such category"),
        (without("annotations", "segmentation"), "annotation 1 .*has no 'segmentation'"),
        (first("annotations", segmentation=None), "annotation 1 .*has segmentation None"),
        (
            first("annotations", segmentation=encode(np.ones((32, 24), bool))),
            r"annotation 1 \(id 2\) has a segmentation that has the size \[32, 24\]; expected .*\[24, 32\]",
        ),
        (
            first("annotations", segmentation={"size": [24, 32], "counts": encode(square(2, 2, 3))["counts"][:-1]}),
            r"annotation 1 \(id 2\) has a segmentation that does not decode",
        ),
        (
            first("annotations", segmentation={"size": [24, 32], "counts": [5, 5]}),
            "annotation 1 .*make up 24 x 32 = 768 pixels, and they make 10",
        ),
        (first("annotations", segmentation=[[1, 1, 2, 2]]), "annotation 1 .*three or more points"),
        (first("annotations", segmentation=[]), "annotation 1 .*empty list"),
        (first("annotations", bbox=[0, 0, 34, 5]), r"annotation 1 .*has the box \[0.0, 0.0, 34.0, 5.0\], not inside"),
        (first("annotations", bbox=[0, -2, 4, 5]), "not inside its image of 24 x 32 pixels"),
        (first("annotations", bbox=[10, 10, -1, 5]), "not inside"),
        (first("annotations", bbox=[0, 0, 4]), r"has bbox \[0, 0, 4\]; expected \[x, y, width, height\]"),
        (first("annotations", bbox=[0, 0, 4, float("inf")]), "finite"),
        (first("annotations", area=float("nan")), "annotation 1 .*has area nan"),
        (first("annotations", area=-1), "negative area"),
        (first("annotations", iscrowd=2), "annotation 1 .*has iscrowd 2; expected 0 or 1"),
        (first("images", void={"size": [1, 1], "counts": "1"}), r"image 1 \(id 2\) has a void that has the size"),
        (lambda truth: truth["annotations"].__setitem__(1, 3), "annotation 1 is no JSON object"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, change: Change, message: str) -> None:
    truth = ground_truth()
    change(truth)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(truth))

    with pytest.raises(InputError, match=rf"'{path}': .*{message}"):
        read_ground_truth(path)
    with pytest.raises(InputError, match=rf"the ground truth: .*{message}"):
        read_ground_truth(truth)


def test_boxes_may_reach_a_pixel_outside() -> None:
    truth = ground_truth()
    truth["annotations"][0]["bbox"] = [-1, -1, 34, 26]

    assert read_ground_truth(truth)["annotations"][0]["bbox"] == [-1, -1, 34, 26]


@pytest.mark.skipif("CONTRASTBENCH_TEST_DATA" not in os.environ, reason="CONTRASTBENCH_TEST_DATA names no real data")
@pytest.mark.parametrize(
    ("name", "annotations"),
    [
        ("pennfudan/instances.json", 160),
        ("nuclei/instances.json", 3354),
        ("coco128/instances.json", 929),
        ("oracles/coco-ap/instances_val2014_100.json", 839),
        ("oracles/lvis/lvis_val_100.json", 977),
    ],
)
def test_real_ground_truth_is_accepted(name: str, annotations: int) -> None:
    truth = read_ground_truth(Path(os.environ["CONTRASTBENCH_TEST_DATA"]) / name)

    assert len(truth["annotations"]) == annotations
