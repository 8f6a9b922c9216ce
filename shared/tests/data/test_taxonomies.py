import json
import logging
import os
from pathlib import Path

import pytest

from contrastbench.core.data.taxonomies import COCO_STUFF, COCO_SYNSETS, VOC_IN_COCO
from contrastbench.core.data.taxonomies.splitting import split_by_coco, split_by_voc
from contrastbench.core.errors import InputError


def oracle(name: str) -> Path:
    root = os.environ.get("CONTRASTBENCH_TEST_DATA")
    if not root:
        pytest.skip("CONTRASTBENCH_TEST_DATA names no real data")
    return Path(root) / "oracles" / "lvis" / name


def test_the_classes_of_coco_are_in_order() -> None:
    assert tuple(COCO_SYNSETS) == COCO_STUFF[:80]
    assert len(set(COCO_SYNSETS.values())) == 80


def test_voc_lies_within_coco() -> None:
    assert len(set(VOC_IN_COCO.values())) == 20
    assert set(VOC_IN_COCO.values()) <= set(COCO_SYNSETS)


def test_the_map_is_that_of_lvis() -> None:
    published = json.loads(oracle("coco_to_synset.json").read_text())
    by_id = sorted(published.items(), key=lambda item: item[1]["coco_cat_id"])
    assert list(COCO_SYNSETS.items()) == [(name, entry["synset"]) for name, entry in by_id]


def test_lvis_is_split_by_coco(caplog: pytest.LogCaptureFixture) -> None:
    categories = json.loads(oracle("lvis_val_100.json").read_text())["categories"]
    with caplog.at_level(logging.INFO):
        split = split_by_coco(categories)
    assert (len(split.known), len(split.rest), split.missing) == (78, 1152, ("hot dog", "oven"))
    assert sorted(split.known + split.rest) == list(range(1, 1231))
    assert caplog.messages == [
        "78 of COCO's 80 classes matched among 1230 categories (not among them: hot dog, oven); 1152 categories are "
        "outside COCO"
    ]


def test_coco_is_split_by_voc() -> None:
    split = split_by_voc([{"id": i, "name": name} for i, name in enumerate(COCO_SYNSETS, 1)])
    assert (len(split.known), len(split.rest), split.missing) == (20, 60, ())
    assert 1 in split.known  # person
    assert str(split) == "20 of VOC's 20 classes matched among 80 categories; 60 categories are outside VOC"


def test_categories_of_one_synset_stay_apart() -> None:
    split = split_by_coco([{"id": i, "name": str(i), "synset": s} for i, s in enumerate(("cup.n.01", "x", "x"))])
    assert (split.known, split.rest, len(split.missing)) == ((0,), (1, 2), 79)


def test_a_category_without_synset_is_refused() -> None:
    with pytest.raises(InputError, match=r"category 7 \(cup\) has no synset"):
        split_by_coco([{"id": 7, "name": "cup"}])
