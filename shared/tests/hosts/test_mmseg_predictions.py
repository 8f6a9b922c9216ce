from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import deeplab, hrnet

pytest.importorskip("mmseg", reason="needs the mmseg extra")
from contrastbench.core.data.sources import cityscapes, open_source
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg import SemanticTraining
from contrastbench.core.metrics import confusion, mean_iou


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes in the tree of Cityscapes, whose val images are its test images too."""
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRASTBENCH_CACHE", str(root / "cache"))
        drawn = {"name": "scenes", "layout": "cityscapes", "seed": 3, "train": 2, "val": 3, "size": [64, 128]}
        shutil.copytree(open_source(drawn).root, root / "town")
    shutil.copytree(root / "town" / "leftImg8bit" / "val", root / "town" / "leftImg8bit" / "test")
    return root / "town"


def training(
    town: Path, size: list[int] | None = None, network: Any = None, evaluation: Any = None
) -> SemanticTraining:
    schedule = {"iterations": 3, "batch_size": 2, "crop": [32, 64], "optimizer": {"type": "AdamW", "lr": 0.01}}
    data = {"name": "cityscapes", "root": str(town), "size": size}
    return SemanticTraining(network or hrnet(), data, schedule, seed=0, threads=1, device="cpu", evaluation=evaluation)


@pytest.fixture(scope="module")
def finished(town: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    run_dir = tmp_path_factory.mktemp("run")
    return run_dir, training(town).run(run_dir)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


def test_written_label_ids_give_back_the_run_s_scores(
    town: Path, finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run_dir, metrics = finished
    steps: list[tuple[int, int]] = []

    count = training(town).write_predictions(run_dir, tmp_path / "p", report=lambda *step: steps.append(step))

    source = cityscapes(town)
    lookup = source.lookup()
    assert count == 3
    assert steps == [(1, 3), (2, 3), (3, 3)]
    matrix = torch.zeros(19, 19, dtype=torch.int64)
    for image, labels in source.val:
        written = read(tmp_path / "p" / image.name.replace("leftImg8bit", "pred"))
        predicted = torch.from_numpy(lookup[written])
        assert (predicted < 19).all()
        matrix += confusion(predicted, torch.from_numpy(lookup[read(labels)]), 19, 255)
    assert mean_iou(matrix).miou == metrics["mIoU"]


def test_the_benchmark_s_script_finds_them(town: Path, finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    script = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    training(town).write_predictions(finished[0], tmp_path / "p")

    arguments = SimpleNamespace(predictionPath=str(tmp_path / "p"), predictionWalk=None)
    for _, labels in cityscapes(town).val:
        found = Path(script.getPrediction(arguments, str(labels)))
        assert found.name.startswith(labels.name.removesuffix("gtFine_labelIds.png"))
    assert len(list((tmp_path / "p").glob("*.png"))) == 3


def test_what_is_there_is_not_done_again(town: Path, finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    experiment, out = training(town), tmp_path / "p"
    experiment.write_predictions(finished[0], out)
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    first, second, _ = sorted(out.glob("*.png"))
    second.unlink()
    before = first.stat().st_mtime_ns

    experiment.write_predictions(finished[0], out)

    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole
    assert first.stat().st_mtime_ns == before


def test_an_interrupted_file_is_not_taken_for_whole(
    town: Path, finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Image.Image, file: Any, **options: Any) -> None:
        file.write(b"half a picture")
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", broken)
        with pytest.raises(OSError, match="disk is full"):
            training(town).write_predictions(finished[0], tmp_path / "p")
    assert not list((tmp_path / "p").glob("*.png"))

    training(town).write_predictions(finished[0], tmp_path / "p")

    assert len([read(path) for path in (tmp_path / "p").glob("*.png")]) == 3


@pytest.mark.parametrize("evaluation", [None, {"scales": [0.5, 1.0], "flip": True}])
def test_predictions_have_the_images_own_resolution(
    town: Path, finished: tuple[Path, dict[str, Any]], tmp_path: Path, evaluation: Any
) -> None:
    training(town, [32, 48], evaluation=evaluation).write_predictions(finished[0], tmp_path / "p", split="val")

    assert {read(path).shape for path in (tmp_path / "p").glob("*.png")} == {(64, 128)}


def test_a_folder_of_others_is_left_alone(town: Path, finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    training(town).write_predictions(finished[0], tmp_path / "p")
    with pytest.raises(InputError, match="other weights, data or scales"):
        training(town, evaluation={"flip": True}).write_predictions(finished[0], tmp_path / "p")

    (tmp_path / "q").mkdir()
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "q" / "holiday.png")
    with pytest.raises(InputError, match="no predictions of this run"):
        training(town).write_predictions(finished[0], tmp_path / "q")


def test_what_cannot_be_predicted_is_explained(
    town: Path, finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="the run is not finished"):
        training(town).write_predictions(tmp_path, tmp_path / "p")
    with pytest.raises(InputError, match="weights of another network"):
        training(town, network=deeplab()).write_predictions(finished[0], tmp_path / "p")
    with pytest.raises(InputError, match="did you mean 'test'"):
        training(town).write_predictions(finished[0], tmp_path / "p", split="tset")
    assert not (tmp_path / "p").exists()
