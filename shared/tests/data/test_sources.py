import os
import shutil
from pathlib import Path

import pytest
from small_data import write_camvid, write_cityscapes

from contrastbench.core.data.sources import camvid, cityscapes, open_source, scenes
from contrastbench.core.data.verify import verify
from contrastbench.core.errors import InputError


def test_camvid_pairs_images_with_labels_in_order(tmp_path: Path) -> None:
    source = camvid(write_camvid(tmp_path))

    assert [image.stem for image, _ in source.train] == ["0000", "0001", "0002", "0003"]
    assert all(labels.parent.name == "trainannot" and labels.stem == image.stem for image, labels in source.train)
    assert len(source.val) == 2
    assert len(source.classes) == len(source.palette) == 11


def test_camvid_void_becomes_ignored(tmp_path: Path) -> None:
    lookup = camvid(write_camvid(tmp_path)).lookup()

    assert lookup[:12].tolist() == [*range(11), 255]
    assert lookup[12] == -1


def test_cityscapes_label_ids_become_train_ids(tmp_path: Path) -> None:
    source = cityscapes(write_cityscapes(tmp_path))

    lookup = source.lookup()
    assert len(source.classes) == 19
    assert [int(lookup[i]) for i in (7, 8, 26, 33)] == [0, 1, 13, 18]  # road, sidewalk, car, bicycle
    assert [int(lookup[i]) for i in (0, 1, 9, 29, 255)] == [255] * 5
    assert sorted(set(lookup[lookup >= 0].tolist())) == [*range(19), 255]
    assert lookup[40] == -1


def test_scenes_come_in_both_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path))

    own = scenes(seed=1, train=2, val=1, size=(48, 96))
    as_cityscapes = scenes(seed=1, train=2, val=1, size=(48, 96), layout="cityscapes")

    assert (len(own.train), len(own.val), len(own.classes)) == (2, 1, 11)
    assert (len(as_cityscapes.train), len(as_cityscapes.val), len(as_cityscapes.classes)) == (2, 1, 19)


def test_missing_root_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder '.*nowhere'.*train.*data\.root="):
        camvid(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"data\.root is not set.*leftImg8bit"):
        cityscapes(None)


@pytest.mark.parametrize("gone", ["train", "valannot", "val"])
def test_half_a_camvid_is_refused(tmp_path: Path, gone: str) -> None:
    write_camvid(tmp_path)
    shutil.rmtree(tmp_path / gone)

    with pytest.raises(InputError, match=gone):
        camvid(tmp_path)


def test_empty_split_is_refused(tmp_path: Path) -> None:
    write_camvid(tmp_path, val=0)

    with pytest.raises(InputError, match="holds no image"):
        camvid(tmp_path)


def test_image_without_label_is_named(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    (tmp_path / "trainannot" / "0002.png").unlink()

    with pytest.raises(InputError, match=r"0002\.png"):
        camvid(tmp_path)


def test_half_a_cityscapes_is_refused(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    shutil.rmtree(tmp_path / "gtFine")

    with pytest.raises(InputError, match="gtFine"):
        cityscapes(tmp_path)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'camvid'"):
        open_source({"name": "canvid"})
    with pytest.raises(InputError, match="did you mean 'root'"):
        open_source({"name": "camvid", "rot": "x"})
    with pytest.raises(InputError, match="layout"):
        open_source({"name": "scenes", "layout": "coco"})


def test_size_is_for_whoever_loads(tmp_path: Path) -> None:
    source = open_source({"name": "camvid", "root": write_camvid(tmp_path), "size": [8, 8]})

    assert len(source.train) == 4


@pytest.mark.skipif("CONTRASTBENCH_TEST_DATA" not in os.environ, reason="CONTRASTBENCH_TEST_DATA names no real data")
def test_real_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    root = Path(os.environ["CONTRASTBENCH_TEST_DATA"])
    for part in ("leftImg8bit", "gtFine"):
        # one image of val is all there is; it serves as train too
        for split in ("train", "val"):
            shutil.copytree(root / "loaders" / "pseudo_cityscapes_dataset" / part / "val", tmp_path / part / split)

    street = camvid(root / "camvid")
    town = cityscapes(tmp_path)

    assert (len(street.train), len(street.val)) == (367, 101)
    assert (len(town.train), len(town.val)) == (1, 1)
    assert len(verify(town, instances=True)) == 64
