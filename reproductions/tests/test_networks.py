"""The networks in conf/network, as the host builds and trains them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from contrastbench.core.data.sources import SegmentationSource

NETWORKS = (
    "deeplabv3_r101",
    "deeplabv3_slim",
    "hrnet_slim",
    "hrnetv2_w48",
    "ocr_hrnetv2_w48",
    "ocr_slim",
    "resnet18_slim",
)


def network(name: str) -> dict[str, Any]:
    text = (files("contrastbench.reproductions.conf") / "network" / f"{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_every_network_is_tested() -> None:
    folder = Path(str(files("contrastbench.reproductions.conf") / "network"))

    semantic = [path.stem for path in folder.glob("*.yaml") if "decode_head" in yaml.safe_load(path.read_text())]
    assert sorted(semantic) == sorted(NETWORKS)


@pytest.mark.parametrize(
    ("name", "channels", "millions"),
    [
        ("deeplabv3_r101", 2048, 87.1),
        ("deeplabv3_slim", 128, 0.87),
        ("hrnet_slim", 208, 0.75),
        ("hrnetv2_w48", 720, 65.9),
        ("ocr_hrnetv2_w48", 720, 70.4),
        ("ocr_slim", 208, 0.89),
        ("resnet18_slim", 240, 0.71),
    ],
)
def test_size_and_what_an_objective_sees(name: str, channels: int, millions: float) -> None:
    from mmengine.registry import DefaultScope

    from contrastbench.core.hosts.mmseg.network import build_segmentor

    classes = tuple(str(i) for i in range(19))
    source = SegmentationSource("none", Path(), classes, ((0, 0, 0),) * 19, (), ())
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmseg"):
        segmentor: Any = build_segmentor(network(name), None, source, (512, 1024), sync_batch_norm=False)

    assert segmentor.taps.channels(segmentor) == (channels,)
    assert sum(p.numel() for p in segmentor.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.slow
def test_the_paper_s_network_trains_at_its_resolution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contrastbench.core.hosts.mmseg import SemanticTraining

    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    metrics = SemanticTraining(
        network("hrnetv2_w48"),
        {"name": "scenes", "layout": "cityscapes", "train": 2, "val": 1, "size": [1024, 2048]},
        {
            "iterations": 2,
            "batch_size": 1,
            "crop": [512, 1024],
            "optimizer": {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005},
            "checkpoint_every": 2,
        },
        {"type": "contrastbench.pixel_contrast.PixelContrast"},
        device="cpu",
    ).run(run_dir)

    assert metrics["iterations"] == 2
    assert metrics["evaluation"] == "mIoU, single scale, 1024x2048"
    assert len(metrics["per_class"]["IoU"]) == 19
    assert metrics["peak_memory_bytes"] < 23 * 2**30
