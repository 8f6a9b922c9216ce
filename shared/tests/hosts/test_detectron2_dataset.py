from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("detectron2", reason="detectron2 is not installed; see the detectron2 extra")
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, PolygonMasks
from small_detectron2 import WARNINGS
from small_instances import write_shapes

from contrastbench.core.data.coco import decode
from contrastbench.core.data.instances import InstanceSource, open_instances
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.detectron2 import register_instances
from contrastbench.core.hosts.detectron2.dataset import Mapped, annotated, mask_format, records

pytestmark = [pytest.mark.detectron2, *WARNINGS]


@pytest.fixture
def source(tmp_path: Path) -> InstanceSource:
    return open_instances({"name": "folder", "root": str(write_shapes(tmp_path / "shapes"))})


def change(source: InstanceSource, tmp_path: Path, **annotation: Any) -> InstanceSource:
    """The same data, something changed in every annotation of images that come first."""
    file = tmp_path / "shapes" / "instances.json"
    content = json.loads(file.read_text())
    for entry in content["annotations"]:
        entry.update(annotation)
    file.write_text(json.dumps(content))
    return open_instances({"name": "folder", "root": str(tmp_path / "shapes")})


def test_records_say_what_the_source_says(source: InstanceSource) -> None:
    found = records(source, "train")

    truth = source.ground_truth("train")
    assert [record["image_id"] for record in found] == [image["id"] for image in truth["images"]]
    assert all(Path(record["file_name"]).is_file() for record in found)
    annotations = [a for record in found for a in record["annotations"]]
    assert len(annotations) == len(truth["annotations"])
    # categories 3 and 7 in the file
    assert [source.category_ids[a["category_id"]] for a in annotations] == [
        a["category_id"] for a in truth["annotations"]
    ]
    assert {a["category_id"] for a in annotations} == {0, 1}


def test_images_without_instances_are_not_trained_on(source: InstanceSource) -> None:
    found = records(source, "train")

    kept = annotated(found)

    assert 0 < len(kept) < len(found)
    assert all(record["annotations"] for record in kept)


def test_crowds_are_not_trained_on(source: InstanceSource, tmp_path: Path) -> None:
    found = records(change(source, tmp_path, iscrowd=1), "train")

    with pytest.raises(InputError, match="nothing to learn from"):
        annotated(found)


def test_samples_are_what_the_detectors_take(source: InstanceSource) -> None:
    found = annotated(records(source, "train"))
    [sample, *_] = Mapped(found, [], "RGB", train=True)
    truth = [a for a in source.ground_truth("train")["annotations"] if a["image_id"] == found[0]["image_id"]]

    assert sample["image"].shape == (3, 48, 64)
    assert sample["image"].dtype == torch.uint8
    instances = sample["instances"]
    assert isinstance(instances.gt_masks, BitMasks)
    expected = np.stack([decode(a["segmentation"], 48, 64) for a in truth])
    assert torch.equal(instances.gt_masks.tensor, torch.from_numpy(expected))
    left, top, width, height = truth[0]["bbox"]
    assert instances.gt_boxes.tensor[0].tolist() == [left, top, left + width, top + height]
    assert (sample["image"][:, instances.gt_masks.tensor[0]].float().mean() > 80).all()


def test_colours_come_in_the_order_asked_for(source: InstanceSource) -> None:
    found = annotated(records(source, "train"))
    red = Mapped(found, [], "RGB", train=False)[0]["image"]
    blue = Mapped(found, [], "BGR", train=False)[0]["image"]

    assert torch.equal(red, blue.flip(0))
    assert not torch.equal(red, blue)


def test_crops_cut_instances_and_their_boxes(source: InstanceSource) -> None:
    found = annotated(records(source, "train"))
    for sample in Mapped(found, [T.RandomCrop("absolute", (24, 24))], "RGB", train=True):
        instances = sample["instances"]
        assert sample["image"].shape == (3, 24, 24)
        for box, mask in zip(instances.gt_boxes.tensor.tolist(), instances.gt_masks.tensor, strict=True):
            rows, columns = mask.nonzero(as_tuple=True)
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box == [float(edge) for edge in edges]


def test_predictions_are_brought_to_the_size_asked_for(source: InstanceSource) -> None:
    found = records(source, "val")

    assert Mapped(found, [T.Resize((12, 16))], "RGB", train=False)[0]["height"] == 48
    resized = Mapped(found, [T.Resize((12, 16))], "RGB", train=False, size=(12, 16))[0]
    assert (resized["height"], resized["width"], *resized["image"].shape[1:]) == (12, 16, 12, 16)
    assert "instances" not in resized


def test_polygons_stay_polygons(source: InstanceSource, tmp_path: Path) -> None:
    assert mask_format(records(source, "train")) == "bitmask"
    polygon = [[10.0, 10.0, 30.0, 10.0, 30.0, 30.0]]
    polygons = change(source, tmp_path, segmentation=polygon, bbox=[10, 10, 20, 20])
    found = annotated(records(polygons, "train"))

    assert mask_format(found) == "polygon"
    assert isinstance(Mapped(found, [], "RGB", train=True)[0]["instances"].gt_masks, PolygonMasks)


@pytest.mark.parametrize("layout", ["coco", "cityscapes"])
def test_scenes(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    drawn = open_instances({"name": "scenes", "train": 3, "val": 1, "size": [96, 192], "layout": layout})
    found = annotated(records(drawn, "train"))

    for record, sample in zip(found, Mapped(found, [], "RGB", train=True), strict=True):
        assert len(sample["instances"]) == sum(not a["iscrowd"] for a in record["annotations"])
        assert int(sample["instances"].gt_classes.max()) < len(drawn.classes)


def test_a_project_of_one_s_own_finds_the_data_by_name(source: InstanceSource, tmp_path: Path) -> None:
    names = register_instances({"name": "folder", "root": str(tmp_path / "shapes")}, "mine")
    try:
        assert names == {"train": "mine_train", "val": "mine_val"}
        assert len(DatasetCatalog.get("mine_val")) == len(source.val["images"])
        assert MetadataCatalog.get("mine_val").thing_classes == list(source.classes)
        assert MetadataCatalog.get("mine_val").thing_dataset_id_to_contiguous_id == {3: 0, 7: 1}
        with pytest.raises(InputError, match="'mine_train' already"):
            register_instances(source, "mine")
        assert register_instances(source)["train"] != register_instances(source)["train"]
    finally:
        for name in [n for n in DatasetCatalog.list() if n.startswith(("mine_", "contrastbench_"))]:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
