import json
import os
from pathlib import Path

import pytest

from contrastbench.core.data.taxonomies import COCO_STUFF, COCO_SYNSETS, VOC_IN_COCO


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
