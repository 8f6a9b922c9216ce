"""The papers' own settings, two iterations of each, on a CPU and on scenes in the layouts of the data sets."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install './shared[mmseg]'")

from contrastbench.core.data.scenes import SceneSet, export_cityscapes
from contrastbench.core.data.sources import open_source
from contrastbench.reproductions.cli import main

# what this machine has: no GPU, and memory for one image
HERE = ["device=cpu", "seeds=1", "schedule.iterations=2", "schedule.batch_size=1", "schedule.workers=0"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_main_row_trains_and_validates_at_full_resolution(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    export_cityscapes(SceneSet(seed=0, train=2, val=1, size=(1024, 2048)), tmp_path / "cityscapes")
    code = main(
        [
            "run",
            "pixel-contrast/table-1",
            "profile=paper",
            f"data.root={tmp_path / 'cityscapes'}",
            f"runs={tmp_path / 'runs'}",
            "rows=[inter]",
            *HERE,
        ]
    )
    assert code == 0, capsys.readouterr().err
    (file,) = (tmp_path / "runs/records").rglob("*.json")
    record = json.loads(file.read_text())
    metrics, config = record["metrics"], record["config"]
    assert metrics["iterations"] == 2
    assert 0 <= metrics["mIoU"] <= 100
    assert "1024x2048" in metrics["evaluation"]
    assert 65e6 < metrics["parameters"] < 67e6
    assert metrics["counts"]["contrast_anchors"] > 0
    assert config["schedule"]["crop"] == [512, 1024]
    assert config["objective"]["positives"] == 1024
    assert config["objective"]["negatives"] == 2048
    assert config["objective"]["dim"] == 256


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("data", "classes", "crop", "rate"),
    [
        ("cityscapes", 19, [512, 1024], 0.01),
        ("camvid", 11, None, 0.01),
        ("ade20k", 150, [512, 512], 0.02),
        ("pascal_context", 59, [512, 512], 0.001),
        ("coco_stuff10k", 171, [512, 512], 0.001),
    ],
)
def test_contextrast_takes_two_steps_on_each_of_its_data_sets(data, classes, crop, rate, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    scenes = {"name": "scenes", "layout": data, "train": 2, "val": 1, "size": [128, 256]}
    words = [
        "profile=paper",
        f"data={data}",
        f"data.root={open_source(scenes).root}",
        f"runs={tmp_path / 'runs'}",
        "rows=[hrnet-ours]",
        *HERE,
        # whole images of Cityscapes are validated in the test above
        *([f"images.{data}.size=[512,1024]"] if data == "cityscapes" else []),
    ]
    code = main(["run", "contextrast/table-2", *words])
    assert code == 0, capsys.readouterr().err
    (file,) = (tmp_path / "runs/records").rglob("*.json")
    record = json.loads(file.read_text())
    metrics, config = record["metrics"], record["config"]
    assert metrics["counts"]["contextrast_anchors"] > 0
    assert len(metrics["per_class"]["IoU"]) == classes
    assert ("single scale" in metrics["evaluation"]) is (data == "cityscapes")
    assert config["evaluation"]["flip"] is (data != "cityscapes")
    assert config["schedule"]["crop"] == crop
    assert config["schedule"]["optimizer"]["lr"] == rate
    assert config["objective"]["layer_weights"] == [0.1, 0.4, 0.7, 1.0]
