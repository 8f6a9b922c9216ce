import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from contrastbench.core.data.scenes import CLASSES, VOID, SceneSet, draw, export_cityscapes, export_mmseg
from contrastbench.core.data.scenes.export_cityscapes import TRAIN_IDS

pytest.importorskip("mmseg", reason="mmsegmentation is not installed")

SMALL = SceneSet(seed=5, train=2, val=2, size=(64, 128))
PIPELINE = [{"type": "LoadImageFromFile"}, {"type": "mmseg.LoadAnnotations"}]


@pytest.fixture
def datasets() -> ModuleType:
    # Where mmcv comes without its extension, mmseg can be imported only after the host stood in for it.
    importlib.import_module("contrastbench.core.hosts.mmseg")
    return importlib.import_module("mmseg.datasets")


def test_the_generic_dataset_reads_the_scenes(datasets: ModuleType, tmp_path: Path):
    export_mmseg(SMALL, tmp_path / "root")
    dataset = datasets.BaseSegDataset(
        data_root=str(tmp_path / "root"),
        data_prefix={"img_path": "img_dir/val", "seg_map_path": "ann_dir/val"},
        img_suffix=".png",
        seg_map_suffix=".png",
        metainfo={"classes": CLASSES},
        reduce_zero_label=False,
        pipeline=PIPELINE,
    )
    assert len(dataset) == SMALL.val
    for index in range(len(dataset)):
        scene = draw(SMALL, "val", index)
        assert np.array_equal(dataset[index]["img"][..., ::-1], scene.image)
        assert np.array_equal(dataset[index]["gt_seg_map"], scene.semantic)


def test_the_cityscapes_dataset_reads_the_scenes(datasets: ModuleType, tmp_path: Path):
    export_cityscapes(SMALL, tmp_path / "root")
    dataset = datasets.CityscapesDataset(
        data_root=str(tmp_path / "root"),
        data_prefix={"img_path": "leftImg8bit/train", "seg_map_path": "gtFine/train"},
        pipeline=PIPELINE,
    )
    assert len(dataset) == SMALL.train
    table = np.array([TRAIN_IDS.get(value, 255) for value in range(256)])
    for index in range(len(dataset)):
        scene = draw(SMALL, "train", index)
        assert np.array_equal(dataset[index]["img"][..., ::-1], scene.image)
        assert np.array_equal(dataset[index]["gt_seg_map"], table[scene.semantic])
        assert np.array_equal(dataset[index]["gt_seg_map"] == 255, scene.semantic == VOID)
    names = dataset.metainfo["classes"]
    assert [names[TRAIN_IDS[CLASSES.index(name)]] for name in ("road", "person", "car")] == ["road", "person", "car"]
