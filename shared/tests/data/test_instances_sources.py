import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written_instances import ground_truth, town_ids, write_coco, write_folder, write_town

from contrastbench.core.data.coco import decode
from contrastbench.core.data.instances import InstanceSource, cityscapes, coco, folder, open_instances, scenes
from contrastbench.core.data.instances.cityscapes import THINGS, VOID
from contrastbench.core.data.scenes import SceneSet, draw
from contrastbench.core.data.scenes.export_cityscapes import LABEL_IDS
from contrastbench.core.errors import InputError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))


def names(source: InstanceSource, split: str) -> list[str]:
    return [image["file_name"] for image in source.ground_truth(split)["images"]]


def test_folder_is_divided_by_file_name(tmp_path: Path) -> None:
    source = folder(write_folder(tmp_path / "shapes"))

    assert source.name == "shapes"
    assert names(source, "train") == ["0001.png", "0002.png", "0004.png", "0005.png"]
    assert names(source, "val") == ["0003.png", "0006.png"]
    assert names(folder(tmp_path / "shapes", val_every=2), "val") == ["0002.png", "0004.png", "0006.png"]
    for split in ("train", "val"):
        own = {image["id"] for image in source.ground_truth(split)["images"]}
        assert {entry["image_id"] for entry in source.ground_truth(split)["annotations"]} == own
    assert len(source.train["annotations"]) + len(source.val["annotations"]) == 7
    assert source.image_path("val", source.val["images"][0]) == tmp_path / "shapes" / "images" / "0003.png"


def test_classes_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    source = folder(write_folder(tmp_path))

    assert source.classes == ("square", "tile")
    assert source.category_ids == (2, 5)


def test_no_such_split(tmp_path: Path) -> None:
    source = folder(write_folder(tmp_path))

    with pytest.raises(InputError, match="did you mean 'val'"):
        source.ground_truth("vale")
    with pytest.raises(InputError, match="did you mean 'train'"):
        source.image_path("trian", source.train["images"][0])


@pytest.mark.parametrize("val_every", [1, 0, True, 2.0, "3"])
def test_impossible_divisions_are_refused(tmp_path: Path, val_every: int) -> None:
    with pytest.raises(InputError, match=r"data\.val_every is"):
        folder(write_folder(tmp_path), val_every)


def test_folder_too_small_to_divide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 2 images, of which 0 with 0 annotations go to val"):
        folder(write_folder(tmp_path, images=2))


def test_coco_is_read_as_it_is_distributed(tmp_path: Path) -> None:
    source = coco(write_coco(tmp_path))

    assert (len(source.train["images"]), len(source.val["images"])) == (2, 3)
    assert source.image_path("train", source.train["images"][1]) == tmp_path / "train2017" / "0002.png"


def test_coco_of_another_year_and_layout(tmp_path: Path) -> None:
    write_coco(tmp_path, 2014)
    (tmp_path / "own.json").write_text(json.dumps({**ground_truth(1)}))

    assert len(coco(tmp_path, year=2014).val["images"]) == 3
    assert len(coco(tmp_path, images="{split}2014", annotations="annotations/instances_{split}2014.json").classes) == 2
    assert len(coco(tmp_path, year="2014", val_annotations="own.json").val["images"]) == 1
    with pytest.raises(InputError, match=r"data\.images is '\{spilt\}'; expected a path in which \{split\} stands"):
        coco(tmp_path, year=2014, images="{spilt}")


def write_lvis(root: Path, version: str, images: list[dict[str, object]], files: tuple[str, ...]) -> None:
    """Both splits have the same images, and one square."""
    lists = {"height": 8, "width": 8, "neg_category_ids": [], "not_exhaustive_category_ids": []}
    square = {"segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]], "bbox": [0, 0, 4, 4], "area": 16}
    truth = {
        "images": [{**lists, **image} for image in images],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, **square}],
        "categories": [{"id": 3, "name": "airplane", "frequency": "f", "synset": "airplane.n.01"}],
    }
    for name in ("annotations", "train2017", "val2017"):
        (root / name).mkdir()
    for split in ("train", "val"):
        (root / "annotations" / f"lvis_{version}_{split}.json").write_text(json.dumps(truth))
    for file in files:
        (root / file).touch()


def test_lvis_finds_its_images_among_cocos(tmp_path: Path) -> None:
    url = "http://images.example/train2017/000000000009.jpg"
    other = "http://images.example/val2017/000000000139.jpg"
    files = ("train2017/000000000009.jpg", "val2017/000000000139.jpg")
    write_lvis(tmp_path, "v1", [{"id": 1, "coco_url": url}, {"id": 2, "coco_url": other}], files)
    source = open_instances({"name": "lvis", "root": tmp_path})
    # version 1 has images of train2017 in its validation split
    assert names(source, "val") == list(files)
    assert source.image_path("val", source.val["images"][0]) == tmp_path / "train2017" / "000000000009.jpg"
    assert source.classes == ("airplane",)


def test_lvis_of_version_0_5_has_the_names_of_2014(tmp_path: Path) -> None:
    files = ("train2017/000000000139.jpg", "val2017/000000000139.jpg")
    write_lvis(tmp_path, "v0.5", [{"id": 1, "file_name": "COCO_val2014_000000000139.jpg"}], files)
    source = open_instances({"name": "lvis", "root": tmp_path, "version": "v0.5"})
    assert names(source, "train") == ["train2017/000000000139.jpg"]
    assert names(source, "val") == ["val2017/000000000139.jpg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"version": "v2"}, "unknown version of lvis"), ({"version": "v0.5"}, "lvis_v0.5_train.json' cannot be read")],
)
def test_lvis_that_is_not_there_is_refused(tmp_path: Path, options: dict[str, str], message: str) -> None:
    write_lvis(tmp_path, "v1", [{"id": 1, "coco_url": "a/b.jpg"}], ())
    with pytest.raises(InputError, match=message):
        open_instances({"name": "lvis", "root": tmp_path, **options})


def test_half_a_coco_is_refused(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "val2017" / "0002.png").unlink()

    with pytest.raises(InputError, match=r"1 of the 3 images of val are not there, first '.*val2017/0002\.png'"):
        coco(tmp_path)
    (tmp_path / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(InputError, match=r"no file '.*instances_val2017\.json'"):
        coco(tmp_path)


def test_splits_with_other_categories_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path)
    truth = ground_truth()
    truth["categories"][1]["name"] = "circle"
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(truth))

    with pytest.raises(InputError, match="category 2 is 'square' in train and 'circle' in val"):
        coco(tmp_path)


def test_images_without_a_file_name_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path)
    truth = ground_truth()
    del truth["images"][2]["file_name"]
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(truth))
    write_folder(tmp_path / "folder")
    (tmp_path / "folder" / "instances.json").write_text(json.dumps(truth))

    with pytest.raises(InputError, match="image 3 of val has no file_name"):
        coco(tmp_path)
    with pytest.raises(InputError, match="image 3 has no file_name"):
        folder(tmp_path / "folder")


def test_cityscapes_maps_become_annotations(tmp_path: Path) -> None:
    source = cityscapes(write_town(tmp_path / "town"))

    assert source.category_ids == (24, 25, 26, 27, 28, 31, 32, 33)
    assert source.classes == ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
    assert names(source, "train") == [f"{t}/{t}_000000_000019_leftImg8bit.png" for t in ("anytown", "bigtown")]
    ids = town_ids()
    found = {}
    for entry in source.val["annotations"]:
        mask = decode(entry["segmentation"], *ids.shape)
        (value,) = np.unique(ids[mask])
        assert np.array_equal(mask, ids == value)
        assert entry["area"] == mask.sum()
        found[int(value)] = (entry["category_id"], entry["iscrowd"])
    assert found == {24: (24, 1), 25003: (25, 0), 26000: (26, 0), 26001: (26, 0)}
    assert np.array_equal(decode(source.val["images"][0]["void"], *ids.shape), ids == 0)
    assert source.image_path("val", source.val["images"][0]).is_file()


def test_cityscapes_is_what_its_own_tools_say() -> None:
    labels = pytest.importorskip("cityscapesscripts.helpers.labels", reason="cityscapesscripts is not installed").labels

    assert {label.id: label.name for label in labels if label.hasInstances and not label.ignoreInEval} == THINGS
    assert set(VOID) == {label.id for label in labels if label.ignoreInEval and label.id >= 0}


def test_cityscapes_is_converted_once(tmp_path: Path) -> None:
    write_town(tmp_path / "town")
    calls: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        calls.append((done, total))

    first = cityscapes(tmp_path / "town", progress)
    again = open_instances({"name": "cityscapes", "root": tmp_path / "town"}, progress)
    write_town(tmp_path / "copy")
    copy = cityscapes(tmp_path / "copy", progress)
    assert first.val == again.val == copy.val
    assert calls == [(1, 2), (2, 2), (1, 1)]

    ids = town_ids()
    ids[20:, 28:] = 33000
    other = cityscapes(write_town(tmp_path / "other", ids), progress)
    assert len(other.val["annotations"]) == len(first.val["annotations"]) + 1
    assert calls == [(1, 2), (2, 2), (1, 1), (1, 1)]


def test_cityscapes_without_a_map_is_refused(tmp_path: Path) -> None:
    write_town(tmp_path)
    next(tmp_path.glob("gtFine/val/*/*.png")).unlink()

    with pytest.raises(InputError, match=r"1 images of val have no map of instance ids, first '.*instanceIds\.png'"):
        cityscapes(tmp_path)


def test_cityscapes_with_a_broken_map_is_refused(tmp_path: Path) -> None:
    write_town(tmp_path)
    next(tmp_path.glob("gtFine/val/*/*.png")).write_bytes(b"png")

    with pytest.raises(InputError, match=r"cannot read the label map '.*instanceIds\.png'"):
        cityscapes(tmp_path)


def test_scenes_come_in_three_layouts() -> None:
    options = {"name": "scenes", "seed": 1, "train": 2, "val": 2, "size": (48, 96)}
    plain = open_instances(options)
    town = open_instances({**options, "layout": "cityscapes"})
    fine = open_instances({**options, "layout": "lvis"})

    assert (plain.name, plain.classes) == ("scenes", ("sign", "car", "person", "bicycle"))
    assert len(town.classes) == 8
    assert len(fine.classes) > 8
    for source in (plain, town, fine):
        assert (len(source.train["images"]), len(source.val["images"])) == (2, 2)
    scene = draw(SceneSet(1, 2, 2, (48, 96)), "val", 1)
    counted = [thing for thing in scene.instances if LABEL_IDS[thing.class_id] in THINGS]
    own = [entry for entry in town.val["annotations"] if entry["image_id"] == 2]
    assert sorted(entry["area"] for entry in own) == sorted(thing.area for thing in counted)


def test_scenes_in_no_such_layout_are_refused() -> None:
    with pytest.raises(InputError, match=r"layout of scenes for instance segmentation 'mmseg'"):
        scenes(layout="mmseg")
    with pytest.raises(InputError, match=r"data\.size is \[96\]"):
        scenes(size=[96])


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'cityscapes'"):
        open_instances({"name": "cityscape"})
    with pytest.raises(InputError, match="did you mean 'val_every'"):
        open_instances({"name": "folder", "val_evry": 3})
    with pytest.raises(InputError, match="option of data 'cityscapes' 'progress'"):
        open_instances({"name": "cityscapes", "progress": 1})
    with pytest.raises(InputError, match="subset of coco"):
        open_instances({"name": "coco", "root": write_coco(tmp_path), "subset": "ocean"})


@pytest.mark.parametrize("name", ["folder", "coco", "cityscapes"])
def test_missing_root_is_explained(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"data\.root is not set"):
        open_instances({"name": name})
    with pytest.raises(InputError, match=r"no folder '.*nowhere'"):
        open_instances({"name": name, "root": tmp_path / "nowhere"})


def test_size_is_for_whoever_loads(tmp_path: Path) -> None:
    source = open_instances({"name": "folder", "root": write_folder(tmp_path), "size": [8, 8]})

    assert source.train["images"][0]["height"] == 24


@pytest.mark.skipif("CONTRASTBENCH_TEST_DATA" not in os.environ, reason="CONTRASTBENCH_TEST_DATA names no real data")
@pytest.mark.parametrize(
    ("name", "train", "val", "classes"), [("pennfudan", 50, 24, 1), ("nuclei", 94, 46, 1), ("coco128", 86, 42, 80)]
)
def test_real_folders_are_opened(name: str, train: int, val: int, classes: int) -> None:
    source = open_instances({"name": "folder", "root": Path(os.environ["CONTRASTBENCH_TEST_DATA"]) / name})

    assert (len(source.train["images"]), len(source.val["images"]), len(source.classes)) == (train, val, classes)


@pytest.mark.skipif("CONTRASTBENCH_TEST_DATA" not in os.environ, reason="CONTRASTBENCH_TEST_DATA names no real data")
def test_real_cityscapes_is_opened(tmp_path: Path) -> None:
    root = Path(os.environ["CONTRASTBENCH_TEST_DATA"]) / "loaders" / "pseudo_cityscapes_dataset"
    for part in ("leftImg8bit", "gtFine"):
        for split in ("train", "val"):  # one image of val is all there is; it serves as train too
            shutil.copytree(root / part / "val", tmp_path / part / split)

    source = cityscapes(tmp_path)

    with Image.open(next(root.glob("gtFine/val/*/*_instanceIds.png"))) as image:
        ids = np.asarray(image)
    expected = {int(value) for value in np.unique(ids) if (value if value < 1000 else value // 1000) in THINGS}
    assert len(source.val["annotations"]) == len(expected)
    assert sum(entry["area"] for entry in source.val["annotations"]) == np.isin(ids, list(expected)).sum()
