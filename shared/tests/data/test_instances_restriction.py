from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from written_instances import annotation, ground_truth, square, write_coco, write_folder

from contrastbench.core.data.instances import one_class, open_instances, select_categories, with_categories
from contrastbench.core.data.instances.verify import verify_instances
from contrastbench.core.data.taxonomies import COCO_SYNSETS
from contrastbench.core.errors import InputError

LVIS = {
    "categories": [
        {"id": 4, "name": "sofa", "synset": "sofa.n.01", "frequency": "f", "supercategory": "furniture"},
        {"id": 1, "name": "acorn", "synset": "acorn.n.01", "frequency": "r", "supercategory": "food"},
        {"id": 2, "name": "wheel", "synset": "wheel.n.01", "frequency": "f", "supercategory": "part"},
        {"id": 3, "name": "car", "synset": "car.n.01", "frequency": "c", "supercategory": "vehicle"},
    ]
}
COCO = {"categories": [{"id": n, "name": name} for n, name in enumerate(COCO_SYNSETS, 1)]}


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        ("all", (1, 2, 3, 4)),
        ("coco", (3, 4)),
        (["wheel", "acorn"], (1, 2)),
        ({"frequency": "f"}, (2, 4)),
        ({"frequency": "fc"}, (2, 3, 4)),
        ({"frequency": "f", "without": ["part"]}, (4,)),
        ({"without": ["part", "acorn"]}, (3, 4)),
    ],
)
def test_categories_are_selected(selection: Any, ids: tuple[int, ...]) -> None:
    assert select_categories(LVIS, selection) == ids


def test_known_sets_are_whole() -> None:
    assert len(select_categories(COCO, "voc")) == 20
    assert len(select_categories(COCO, "coco")) == 80


def test_lvis_has_all_but_two_of_coco_s() -> None:
    folder = os.environ.get("CONTRASTBENCH_TEST_DATA")
    if not folder:
        pytest.skip("set CONTRASTBENCH_TEST_DATA to the folder of test data")
    truth = json.loads((Path(folder) / "oracles/lvis/lvis_val_100.json").read_text())

    assert len(select_categories(truth, "coco")) == 78


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("cocoo", "unknown set of categories 'cocoo'; did you mean 'coco'"),
        (["whel"], "did you mean 'wheel'"),
        ({"frequencies": "f"}, "did you mean 'frequency'"),
        ({"frequency": "x"}, "expected some of the letters f, c and r"),
        ({"frequency": "r", "without": ["food"]}, "of the 4 categories none is meant"),
        ({"without": ["parts"]}, "did you mean 'part'"),
        ("voc", None),
    ],
)
def test_wrong_selections_are_explained(selection: Any, message: str | None) -> None:
    if message is None:
        assert select_categories(LVIS, selection) == (3,)  # a car is one
        return
    with pytest.raises(InputError, match=message):
        select_categories(LVIS, selection)


def test_frequencies_must_be_there() -> None:
    with pytest.raises(InputError, match="these have none"):
        select_categories(COCO, {"frequency": "f"})


def test_a_source_keeps_the_images_that_show_what_is_left(tmp_path: Path) -> None:
    source = open_instances({"name": "coco", "root": write_coco(tmp_path)})

    left = with_categories(source, ["tile"])

    assert (left.classes, left.category_ids) == (("tile",), (5,))
    assert [image["id"] for image in left.train["images"]] == [image["id"] for image in left.val["images"]] == [1]
    assert {entry["category_id"] for entry in left.train["annotations"]} == {5}
    assert len(source.train["images"]) == 2
    assert verify_instances(left) != verify_instances(source)


def test_all_are_one(tmp_path: Path) -> None:
    source = open_instances({"name": "coco", "root": write_coco(tmp_path)})

    merged = one_class(source)

    assert (merged.classes, merged.category_ids) == (("object",), (1,))
    for split in ("train", "val"):
        truth, before = merged.ground_truth(split), source.ground_truth(split)
        assert truth["categories"] == [{"id": 1, "name": "object"}]
        assert [entry["category_id"] for entry in truth["annotations"]] == [1] * len(before["annotations"])
        assert truth["images"] == before["images"]
    assert source.train["annotations"][0]["category_id"] == 2


def test_both_are_options_of_every_source(tmp_path: Path) -> None:
    data = {"name": "coco", "root": write_coco(tmp_path), "categories": ["square"], "one_class": True}

    source = open_instances(data)

    assert source.classes == ("object",)
    assert len(source.train["annotations"]) == 2
    with pytest.raises(InputError, match="did you mean 'categories'"):
        open_instances({"name": "coco", "root": tmp_path, "categoris": []})


def test_a_split_without_any_is_an_error(tmp_path: Path) -> None:
    root = write_folder(tmp_path)  # the one tile is in the first image, which trains
    with pytest.raises(InputError, match="no image of val shows any of the 1 categories"):
        open_instances({"name": "folder", "root": root, "categories": ["tile"]})


def test_a_crowd_alone_shows_nothing(tmp_path: Path) -> None:
    content = ground_truth(3)
    content["annotations"] = [
        annotation(1, 1, 2, square(2, 3, 8)),
        annotation(2, 2, 2, square(2, 3, 8), crowd=1),
        annotation(3, 3, 2, square(2, 3, 8)),
    ]
    root = write_folder(tmp_path, 3)
    (root / "instances.json").write_text(json.dumps(content))

    assert [i["id"] for i in open_instances({"name": "folder", "root": root, "categories": "all"}).train["images"]] == [
        1
    ]
