import importlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contrastbench.core.data import taxonomies
from contrastbench.core.data.sources import SegmentationSource, ade20k, cityscapes, coco_stuff10k, folder, open_source
from contrastbench.core.data.sources import pascal_context as pascal
from contrastbench.core.data.verify import verify
from contrastbench.core.errors import InputError

SIZES = [(20, 30), (24, 16), (18, 18)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))


def write_pair(image: Path, labels: Path, size: tuple[int, int], ids: int) -> None:
    """Write a black image, and labels that go through 0 to ``ids`` and 255."""
    for path in (image, labels):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(image)
    values = np.append(np.arange(ids + 1), 255)
    Image.fromarray(values[np.arange(size[0] * size[1]) % len(values)].reshape(size).astype(np.uint8)).save(labels)


def write_ade(root: Path) -> Path:
    for split in ("training", "validation"):
        for i, size in enumerate(SIZES):
            name = f"ADE_{split}_{i:08d}"
            write_pair(root / "images" / split / f"{name}.jpg", root / "annotations" / split / f"{name}.png", size, 150)
    return root


def write_pascal(root: Path) -> Path:
    names = [f"2008_{i:06d}" for i in range(4)]
    for name, size in zip(names, [*SIZES, (9, 9)], strict=True):
        write_pair(root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClassContext" / f"{name}.png", size, 59)
    lists = root / "ImageSets" / "SegmentationContext"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2008_000002\n2008_000000\n\n")
    (lists / "val.txt").write_text("2008_000001\n")  # the fourth is in no split
    return root


def write_coco(root: Path) -> Path:
    for split in ("train2014", "test2014"):
        for i, size in enumerate(SIZES):
            name = f"COCO_{split}_{i:012d}"
            labels = root / "annotations" / split / f"{name}_labelTrainIds.png"
            write_pair(root / "images" / split / f"{name}.jpg", labels, size, 171)
    return root


READ: dict[str, tuple[Callable[..., SegmentationSource], Callable[[Path], Path], int, tuple[int, int]]] = {
    "ade20k": (ade20k, write_ade, 150, (3, 3)),
    "pascal_context": (pascal, write_pascal, 59, (2, 1)),
    "coco_stuff10k": (coco_stuff10k, write_coco, 171, (3, 3)),
}


@pytest.mark.parametrize("name", READ)
def test_classes_count_from_one_in_the_files(name: str, tmp_path: Path) -> None:
    reader, write, count, images = READ[name]
    source = reader(write(tmp_path / "data"))

    lookup = source.lookup()
    assert len(source.classes) == len(source.palette) == count
    assert (len(source.train), len(source.val)) == images
    assert lookup[0] == lookup[255] == 255
    assert lookup[1 : count + 1].tolist() == list(range(count))
    assert (lookup[count + 1 : 255] == -1).all()
    assert len(verify(source)) == 64


def test_pascal_context_keeps_the_order_of_its_lists(tmp_path: Path) -> None:
    source = pascal(write_pascal(tmp_path))

    assert [image.stem for image, _ in source.train] == ["2008_000002", "2008_000000"]


@pytest.mark.parametrize("name", READ)
def test_without_a_root_the_tree_is_described(name: str) -> None:
    with pytest.raises(InputError, match=r"data\.root is not set.*expected in it"):
        open_source({"name": name})


@pytest.mark.parametrize(
    ("name", "gone", "message"),
    [
        ("ade20k", "images/validation", "no folder '.*images/validation'"),
        ("ade20k", "annotations/training", "3 of its images have no label map"),
        ("pascal_context", "ImageSets/SegmentationContext/val.txt", "list of images '.*val.txt' cannot be read"),
        ("pascal_context", "JPEGImages/2008_000001.jpg", "1 of its images are not there"),
        ("coco_stuff10k", "annotations/test2014/COCO_test2014_000000000001_labelTrainIds.png", "no label map"),
    ],
)
def test_what_is_missing_is_named(name: str, gone: str, message: str, tmp_path: Path) -> None:
    reader, write, _, _ = READ[name]
    lost = write(tmp_path) / gone
    if lost.is_dir():
        shutil.rmtree(lost)
    else:
        lost.unlink()

    with pytest.raises(InputError, match=message):
        reader(tmp_path)


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    (write_pascal(tmp_path) / "ImageSets/SegmentationContext/train.txt").write_text("\n")

    with pytest.raises(InputError, match="empty"):
        pascal(tmp_path)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("ADE20K", "ADE20KDataset"),
        ("PASCAL_CONTEXT", "PascalContextDataset59"),
        ("COCO_STUFF", "COCOStuffDataset"),
        ("CITYSCAPES", "CityscapesDataset"),
    ],
)
def test_classes_are_mmsegmentation_s(names: str, kind: str) -> None:
    pytest.importorskip("mmseg", reason="mmsegmentation is not installed")
    # Where mmcv comes without its extension, mmseg can be imported only after the host stood in for it.
    importlib.import_module("contrastbench.core.hosts.mmseg")
    theirs = getattr(importlib.import_module("mmseg.datasets"), kind).METAINFO["classes"]

    # One of theirs ends in a blank.
    assert tuple(getattr(taxonomies, names)) == tuple(name.strip() for name in theirs)


def test_made_colours_differ() -> None:
    made = taxonomies.colours(171)

    assert len(set(made)) == 171
    assert all(0 <= part <= 255 for colour in made for part in colour)
    assert made[:10] == taxonomies.colours(10)


def write_folder(root: Path, first: int = 0) -> Path:
    for split, count in (("train", 3), ("val", 1)):
        for i in range(count):
            write_pair(root / "img_dir" / split / f"{i}.jpg", root / "ann_dir" / split / f"{i}.png", (8, 8), 2 + first)
    return root


def test_a_folder_of_one_s_own(tmp_path: Path) -> None:
    source = folder(write_folder(tmp_path), classes=["cat", "dog", "mat"])

    assert source.classes == ("cat", "dog", "mat")
    assert source.lookup()[[0, 1, 2, 255]].tolist() == [0, 1, 2, 255]
    assert source.lookup()[3] == -1
    assert len(verify(source)) == 64


def test_a_folder_that_counts_from_one(tmp_path: Path) -> None:
    source = folder(write_folder(tmp_path, first=1), classes=3, reduce_zero_label=True)

    assert source.lookup()[[0, 1, 3, 255]].tolist() == [255, 0, 2, 255]
    assert source.classes == ("class 0", "class 1", "class 2")
    assert len(verify(source)) == 64


def test_another_ignore_index(tmp_path: Path) -> None:
    source = folder(write_folder(tmp_path), classes=2, ignore_index=2)

    assert source.lookup()[[0, 1, 2, 255]].tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "classes is not set"),
        ({"classes": 1}, "2 to 254"),
        ({"classes": "cat"}, "names in the order"),
        ({"classes": ["cat", "cat"]}, "'cat' twice"),
        ({"classes": 3, "ignore_index": 1}, "ignore_index"),
        ({"classes": 3, "labels": "lables"}, "no label map"),
        ({"classes": 3, "splits": "lists"}, r"lists/train\.txt"),
        ({"classes": 3, "image_sufix": ".jpg"}, "did you mean 'image_suffix'"),
    ],
)
def test_a_wrong_folder_is_explained(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_source({"name": "folder", "root": str(write_folder(tmp_path)), **options})


@pytest.mark.skipif("CONTRASTBENCH_TEST_DATA" not in os.environ, reason="CONTRASTBENCH_TEST_DATA names no real data")
def test_mmsegmentation_s_own_test_data_are_read() -> None:
    root = Path(os.environ["CONTRASTBENCH_TEST_DATA"]) / "loaders" / "pseudo_dataset"
    data = {"root": str(root), "classes": 7, "images": "imgs", "labels": "gts", "splits": "splits"}

    source = open_source({"name": "folder", **data, "image_suffix": "_img.jpg", "label_suffix": "_gt.png"})

    assert [image.name for image, _ in source.val] == ["00004_img.jpg"]
    assert len(source.train) == 4
    assert len(verify(source)) == 64


def write_town(root: Path, with_instances: bool = True) -> Path:
    ids = np.full((16, 32), 7, np.uint8)
    for split in ("train", "val"):
        stem = "town_000000_000019"
        write_pair(
            root / "leftImg8bit" / split / "town" / f"{stem}_leftImg8bit.png",
            root / "gtFine" / split / "town" / f"{stem}_gtFine_labelIds.png",
            (16, 32),
            33,
        )
        if with_instances:
            Image.fromarray(ids.astype(np.uint16) * 1000).save(
                root / "gtFine" / split / "town" / f"{stem}_gtFine_instanceIds.png"
            )
    return root


def test_cityscapes_knows_its_instances(tmp_path: Path) -> None:
    source = cityscapes(write_town(tmp_path))

    [path] = source.instance_maps("val")
    assert path.name == "town_000000_000019_gtFine_instanceIds.png"
    assert verify(source, instances=True) != verify(source)


def test_instances_enter_the_fingerprint(tmp_path: Path) -> None:
    source = cityscapes(write_town(tmp_path))
    plain, before = verify(source), verify(source, instances=True)
    Image.fromarray(np.full((16, 32), 26001, np.uint16)).save(source.instance_maps("val")[0])

    assert verify(source) == plain
    assert verify(source, instances=True) != before


def test_an_instance_map_of_another_size_is_refused(tmp_path: Path) -> None:
    source = cityscapes(write_town(tmp_path))
    Image.fromarray(np.zeros((8, 16), np.uint16)).save(source.instance_maps("val")[0])

    with pytest.raises(InputError, match=r"map of instance ids .* 8x16"):
        verify(source, instances=True)


def test_missing_instances_are_explained(tmp_path: Path) -> None:
    source = cityscapes(write_town(tmp_path / "town", with_instances=False))

    with pytest.raises(InputError, match=r"1 images of val have no map of instance ids.*instanceIds\.png"):
        source.instance_maps("val")
    with pytest.raises(InputError, match="ade20k has no maps of instance ids"):
        ade20k(write_ade(tmp_path / "ade")).instance_maps("val")


def test_test_images_are_optional(tmp_path: Path) -> None:
    without = cityscapes(write_town(tmp_path))
    image = tmp_path / "leftImg8bit" / "test" / "berlin" / "berlin_000000_000019_leftImg8bit.png"
    image.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((16, 32, 3), np.uint8)).save(image)

    assert without.test == ()
    with pytest.raises(InputError, match="no test images"):
        without.images("test")
    assert cityscapes(tmp_path).images("test") == (image,)
    assert cityscapes(tmp_path).images("val") == (without.val[0][0],)
    with pytest.raises(InputError, match="did you mean 'test'"):
        without.images("tests")
