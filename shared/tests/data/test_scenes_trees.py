import importlib
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from contrastbench.core.data.scenes import CLASSES, VOID, SceneSet, draw, export_tree
from contrastbench.core.data.scenes.export_tree import TREES
from contrastbench.core.data.sources import SegmentationSource, open_source, scenes
from contrastbench.core.data.verify import verify
from contrastbench.core.errors import InputError

SMALL = SceneSet(seed=5, train=2, val=2, size=(64, 128))
LACKS = {"pascal_context": {"pole"}}
THEIRS = {
    "camvid": ("tree", "pedestrian"),
    "ade20k": ("tree", "person"),
    "pascal_context": ("tree", "person"),
    "coco_stuff10k": ("tree", "person"),
}
VAL = {"ade20k": "validation", "coco_stuff10k": "test2014"}


@pytest.fixture
def datasets() -> ModuleType:
    pytest.importorskip("mmseg", reason="mmsegmentation is not installed")
    # Where mmcv comes without its extension, mmseg can be imported only after the host stood in for it.
    importlib.import_module("contrastbench.core.hosts.mmseg")
    return importlib.import_module("mmseg.datasets")


def exported(layout: str, root: Path) -> SegmentationSource:
    export_tree(layout, SMALL, root)
    return open_source({"name": layout, "root": str(root)})


def truth(source: SegmentationSource, layout: str, split: str, index: int) -> np.ndarray:
    """The training ids that a scene should have in a data set."""
    scene = draw(SMALL, split, index)
    expected = np.full(scene.semantic.shape, 255)
    for class_id, name in enumerate(CLASSES):
        if name not in LACKS.get(layout, ()):
            expected[scene.semantic == class_id] = source.classes.index(TREES[layout].names.get(name) or name)
    expected[scene.semantic == VOID] = 255
    return expected


@pytest.mark.parametrize("layout", TREES)
def test_the_source_reads_the_scenes_truth(layout: str, tmp_path: Path) -> None:
    source = exported(layout, tmp_path / "root")

    assert [len(source.train), len(source.val)] == [SMALL.train, SMALL.val]
    for split in ("train", "val"):
        for index, (image, labels) in enumerate(source.pairs(split)):
            read = source.lookup()[cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)]
            assert np.array_equal(read, truth(source, layout, split, index))
            lost = np.abs(cv2.imread(str(image))[..., ::-1] - draw(SMALL, split, index).image.astype(int)).mean()
            assert lost < 4 if image.suffix == ".jpg" else lost == 0
    assert all(name in source.classes for name in THEIRS[layout])


@pytest.mark.parametrize("layout", TREES)
def test_exports_verify(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))

    assert len(verify(exported(layout, tmp_path / "root"))) == 64


@pytest.mark.parametrize("layout", TREES)
def test_the_scenes_source_draws_the_layout(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path))

    source = scenes(seed=5, train=2, val=2, size=(64, 128), layout=layout)

    assert source.name == layout
    assert len(source.train) == 2


@pytest.mark.parametrize(
    ("layout", "kind"),
    [("ade20k", "ADE20KDataset"), ("pascal_context", "PascalContextDataset59"), ("coco_stuff10k", "COCOStuffDataset")],
)
def test_mmsegmentation_reads_the_same(layout: str, kind: str, datasets: ModuleType, tmp_path: Path) -> None:
    source = exported(layout, tmp_path / "root")
    if layout == "pascal_context":
        place = {
            "ann_file": "ImageSets/SegmentationContext/val.txt",
            "data_prefix": {"img_path": "JPEGImages", "seg_map_path": "SegmentationClassContext"},
        }
    else:
        place = {"data_prefix": {"img_path": f"images/{VAL[layout]}", "seg_map_path": f"annotations/{VAL[layout]}"}}
    dataset = getattr(datasets, kind)(
        data_root=str(tmp_path / "root"),
        reduce_zero_label=True,
        pipeline=[{"type": "LoadImageFromFile"}, {"type": "mmseg.LoadAnnotations"}],
        **place,
    )

    assert len(dataset) == len(source.val)
    for index, (image, labels) in enumerate(source.val):
        sample = dataset[index]
        assert Path(sample["img_path"]) == image
        ours = source.lookup()[cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)]
        assert np.array_equal(sample["gt_seg_map"], ours)


def test_written_again_nothing_changes_and_over_something_else_nothing_is_written(tmp_path: Path) -> None:
    export_tree("ade20k", SMALL, tmp_path / "root")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*")}
    export_tree("ade20k", SMALL, tmp_path / "root")

    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*")} == before
    with pytest.raises(InputError, match="is not the camvid export"):
        export_tree("camvid", SMALL, tmp_path / "root")
