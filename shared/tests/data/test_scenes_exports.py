import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from contrastbench.core.data.scenes import (
    CLASSES,
    LAYOUTS,
    SPLITS,
    THINGS,
    VOID,
    SceneSet,
    cached,
    draw,
    fine_categories,
)
from contrastbench.core.data.scenes.export_cityscapes import LABEL_IDS, TRAIN_IDS
from contrastbench.core.data.scenes.export_lvis import frequency
from contrastbench.core.errors import InputError

# pycocotools decodes masks by an __array__ method that knows no copy keyword; numpy 2 says so at each call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SMALL = SceneSet(seed=5, train=5, val=3, size=(64, 128))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("scenes")
    for layout, write in LAYOUTS.items():
        write(SMALL, base / layout, None)
    return {layout: base / layout for layout in LAYOUTS}


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image[..., ::-1] if image.ndim == 3 else image


def test_mmseg_files_hold_the_scenes(exports: dict[str, Path]):
    for split in SPLITS:
        names = sorted(path.name for path in (exports["mmseg"] / "img_dir" / split).iterdir())
        assert names == [f"{index:06d}.png" for index in range(SMALL.count(split))]
        for index, name in enumerate(names):
            scene = draw(SMALL, split, index)
            assert np.array_equal(read(exports["mmseg"] / "img_dir" / split / name), scene.image)
            assert np.array_equal(read(exports["mmseg"] / "ann_dir" / split / name), scene.semantic)


def test_cityscapes_files_hold_the_scenes(exports: dict[str, Path]):
    for split in SPLITS:
        for index in range(SMALL.count(split)):
            scene = draw(SMALL, split, index)
            stem = f"{split}/scenes/scenes_{index:06d}_000000"
            truth = exports["cityscapes"] / "gtFine"
            image = read(exports["cityscapes"] / "leftImg8bit" / f"{stem}_leftImg8bit.png")
            label_ids = read(truth / f"{stem}_gtFine_labelIds.png")
            train_ids = read(truth / f"{stem}_gtFine_labelTrainIds.png")
            instance_ids = read(truth / f"{stem}_gtFine_instanceIds.png")
            assert np.array_equal(image, scene.image)
            assert instance_ids.dtype == np.uint16
            assert np.all(label_ids[scene.semantic == VOID] == 0)
            assert np.all(train_ids[scene.semantic == VOID] == 255)
            for class_id in range(len(CLASSES)):
                mask = scene.semantic == class_id
                assert np.all(label_ids[mask] == LABEL_IDS[class_id])
                assert np.all(train_ids[mask] == TRAIN_IDS[class_id])
            counted = [i for i in scene.instances if CLASSES[i.class_id] in ("person", "car", "bicycle")]
            for instance in counted:
                values = np.unique(instance_ids[scene.instance == instance.id])
                assert len(values) == 1
                assert values[0] // 1000 == LABEL_IDS[instance.class_id]
            assert len(np.unique(instance_ids[instance_ids >= 1000])) == len(counted)
            rest = instance_ids < 1000
            assert np.array_equal(instance_ids[rest], label_ids[rest])


def test_coco_reads_the_masks_back(exports: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    from pycocotools.coco import COCO

    for split in SPLITS:
        coco = COCO(str(exports["coco"] / "annotations" / f"instances_{split}.json"))
        names = [category["name"] for category in coco.loadCats(coco.getCatIds())]
        assert names == [CLASSES[thing] for thing in THINGS]
        for index, image in enumerate(coco.loadImgs(sorted(coco.getImgIds()))):
            scene = draw(SMALL, split, index)
            assert np.array_equal(read(exports["coco"] / "images" / split / image["file_name"]), scene.image)
            annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
            assert len(annotations) == len(scene.instances)
            for annotation, instance in zip(annotations, scene.instances, strict=True):
                assert np.array_equal(coco.annToMask(annotation), scene.instance == instance.id)
                assert names[annotation["category_id"] - 1] == CLASSES[instance.class_id]
                assert annotation["area"] == instance.area
                assert annotation["bbox"] == list(instance.box)
                assert annotation["iscrowd"] == (instance.area < 4 * 64 * 128 / (96 * 192))


def test_coco_evaluation_of_the_truth_is_perfect(exports: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(exports["coco"] / "annotations" / "instances_val.json"))
    results = [
        {key: annotation[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.9}
        for annotation in truth.dataset["annotations"]
    ]
    evaluation = COCOeval(truth, truth.loadRes(results), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_lvis_reads_objects_and_parts_back(exports: dict[str, Path]):
    lvis_package = pytest.importorskip("lvis", reason="the LVIS API is not installed")
    names = {number: category.name for number, category in enumerate(fine_categories(), 1)}
    for split in SPLITS:
        lvis = lvis_package.LVIS(str(exports["lvis"] / "annotations" / f"lvis_{split}.json"))
        assert all(category["name"] == names[number] for number, category in lvis.cats.items())
        for index, image in enumerate(lvis.load_imgs(sorted(lvis.get_img_ids()))):
            scene = draw(SMALL, split, index)
            limit = 4 * 64 * 128 / (96 * 192)
            expected, tiny, present = [], set(), set()
            for instance in scene.instances:
                pieces = [(instance.kind, instance, scene.instance)]
                pieces += [(part.name, part, scene.parts) for part in instance.parts]
                for name, piece, ids in pieces:
                    present.add(name)
                    if piece.area < limit:
                        tiny.add(name)
                    else:
                        expected.append((name, ids == piece.id))
            annotations = lvis.load_anns(lvis.get_ann_ids(img_ids=[image["id"]]))
            assert len(annotations) == len(expected)
            for annotation, (name, mask) in zip(annotations, expected, strict=True):
                assert names[annotation["category_id"]] == name
                assert np.array_equal(lvis.ann_to_mask(annotation), mask)
            listed = set(lvis.cats)
            not_exhaustive = {names[number] for number in image["not_exhaustive_category_ids"]}
            assert not_exhaustive == {name for name in tiny if any(names[n] == name for n in listed)}
            assert image["neg_category_ids"]
            assert not {names[number] for number in image["neg_category_ids"]} & present


def test_lvis_parts_point_to_their_object(exports: dict[str, Path]):
    from pycocotools import mask as pycoco_mask

    content = json.loads((exports["lvis"] / "annotations" / "lvis_train.json").read_text())
    by_id = {annotation["id"]: annotation for annotation in content["annotations"]}
    parents = {category["id"]: category["supercategory"] for category in content["categories"]}
    pairs = [(by_id[a["part_of"]], a) for a in by_id.values() if a.get("part_of")]
    assert len(pairs) > 10
    for owner, part in pairs:
        assert parents[part["category_id"]] == "part"
        assert parents[owner["category_id"]] in CLASSES
        whole, piece = (pycoco_mask.decode(a["segmentation"]).astype(bool) for a in (owner, part))
        assert not np.any(piece & ~whole)


def test_lvis_counts_and_frequencies(exports: dict[str, Path]):
    contents = [json.loads((exports["lvis"] / "annotations" / f"lvis_{s}.json").read_text()) for s in SPLITS]
    assert contents[0]["categories"] == contents[1]["categories"]
    annotations = contents[0]["annotations"]
    for category in contents[0]["categories"]:
        own = [a for a in annotations if a["category_id"] == category["id"]]
        images = len({a["image_id"] for a in own})
        assert (category["instance_count"], category["image_count"]) == (len(own), images)
        assert category["frequency"] == frequency(images, SMALL.train)


@pytest.mark.parametrize(
    ("images", "total", "letter"),
    [
        (4, 400, "r"),
        (5, 400, "c"),
        (40, 400, "c"),
        (41, 400, "f"),
        (10, 50_000, "r"),
        (11, 50_000, "c"),
        (100, 50_000, "c"),
        (101, 50_000, "f"),
        (1, 5, "r"),
        (2, 5, "c"),
        (3, 5, "f"),
    ],
)
def test_frequency_scales_with_the_set(images: int, total: int, letter: str):
    assert frequency(images, total) == letter


@pytest.mark.parametrize("layout", LAYOUTS)
def test_exports_are_the_same_bytes_and_written_once(layout: str, exports: dict[str, Path], tmp_path: Path):
    root = tmp_path / "again"
    seen: list[tuple[int, int]] = []
    LAYOUTS[layout](SMALL, root, lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 8) for i in range(8)]
    assert tree(root) == tree(exports[layout])
    LAYOUTS[layout](SMALL, root, lambda done, total: seen.append((done, total)))
    assert len(seen) == 8


def test_an_interrupted_export_leaves_nothing(tmp_path: Path):
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LAYOUTS["mmseg"](SMALL, tmp_path / "root", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_after_a_killed_export_the_next_one_is_whole(exports: dict[str, Path], tmp_path: Path):
    code = (
        "import os, sys\n"
        "from contrastbench.core.data.scenes import SceneSet, export_mmseg\n"
        "export_mmseg(SceneSet(seed=5, train=5, val=3, size=(64, 128)), sys.argv[1],"
        " lambda done, total: done == 4 and os._exit(9))\n"
    )
    root = tmp_path / "root"
    assert subprocess.run([sys.executable, "-c", code, str(root)], check=False).returncode == 9
    assert not root.exists()
    (leftover,) = tmp_path.iterdir()
    LAYOUTS["mmseg"](SMALL, root, None)
    assert tree(root) == tree(exports["mmseg"])
    # It may belong to a process that still runs, so it is removed only when it is old.
    assert leftover.exists()
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(leftover, (long_ago, long_ago))
    LAYOUTS["mmseg"](SceneSet(seed=6, train=1, val=1, size=(64, 128)), tmp_path / "other", None)
    assert leftover.exists()
    shutil.rmtree(root)
    LAYOUTS["mmseg"](SMALL, root, None)
    assert not leftover.exists()


def test_two_processes_may_write_the_same_at_once(exports: dict[str, Path], tmp_path: Path):
    code = (
        "import sys, time\n"
        "from contrastbench.core.data.scenes import SceneSet, export_mmseg\n"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "export_mmseg(SceneSet(seed=5, train=5, val=3, size=(64, 128)), sys.argv[1])\n"
    )
    root = tmp_path / "root"
    command = [sys.executable, "-c", code, str(root), str(time.time() + 2)]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert tree(root) == tree(exports["mmseg"])
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_the_slower_of_two_processes_keeps_the_work_of_the_faster(exports: dict[str, Path], tmp_path: Path):
    root = tmp_path / "root"

    def overtake(done: int, total: int) -> None:
        if done == 2:
            LAYOUTS["mmseg"](SMALL, root, None)

    LAYOUTS["mmseg"](SMALL, root, overtake)
    assert tree(root) == tree(exports["mmseg"])
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_folder_with_something_else_is_not_touched(exports: dict[str, Path], tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not the mmseg export"):
        LAYOUTS["mmseg"](SMALL, tmp_path, None)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(InputError, match="is not the coco export"):
        LAYOUTS["coco"](SMALL, exports["mmseg"], None)


def test_an_empty_folder_is_filled(exports: dict[str, Path], tmp_path: Path):
    (tmp_path / "root").mkdir()
    LAYOUTS["mmseg"](SMALL, tmp_path / "root", None)
    assert tree(tmp_path / "root") == tree(exports["mmseg"])


def test_cached_writes_once_and_apart_by_set_and_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path))
    tiny = SceneSet(seed=1, train=1, val=1, size=(32, 64))
    calls: list[int] = []
    roots = [
        cached(scene_set, layout, lambda done, total: calls.append(done))
        for scene_set in (tiny, SceneSet(seed=2, train=1, val=1, size=(32, 64)))
        for layout in ("mmseg", "coco")
    ]
    assert len(set(roots)) == 4
    assert len(calls) == 8
    assert cached(tiny, "mmseg", lambda done, total: calls.append(done)) == roots[0]
    assert len(calls) == 8
    assert all(root.is_relative_to(tmp_path) for root in roots)


def test_a_cache_that_cannot_be_written_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=r"cannot write to the folder .*CONTRASTBENCH_CACHE"):
        cached(SMALL, "mmseg")


def test_a_root_that_cannot_be_written_is_an_input_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the mmseg export"):
        LAYOUTS["mmseg"](SMALL, tmp_path / "file" / "root", None)


def test_an_unknown_layout_is_an_input_error():
    with pytest.raises(InputError, match="did you mean 'mmseg'"):
        cached(SMALL, "mmsegg")
