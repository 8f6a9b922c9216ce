"""The paper's own setting, two iterations of it: HRNetV2-W48 on 512x1024 crops of 1024x2048 images, on a CPU."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install './shared[mmseg]'")

from contrastbench.core.data.scenes import SceneSet, export_cityscapes
from contrastbench.reproductions.cli import main


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
            "seeds=1",
            # what this machine has: no GPU, and memory for one image
            "device=cpu",
            "schedule.iterations=2",
            "schedule.batch_size=1",
            "schedule.workers=0",
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
