from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("detectron2", reason="detectron2 is not installed; see the detectron2 extra")
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import DatasetCatalog
from detectron2_ranks import train_detectron2_in_pieces_on_rank
from mask_objectives import Tally
from small_detectron2 import slim
from small_instances import write_shapes

from contrastbench.core.data.coco import read_results
from contrastbench.core.data.instances import open_instances
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.detectron2 import InstanceTraining, NonFiniteLossError
from contrastbench.core.hosts.detectron2.dataset import Mapped, records
from contrastbench.core.hosts.detectron2.evaluation import predict
from contrastbench.core.hosts.detectron2.network import build_network, configure
from contrastbench.core.testing.ranks import run_ranks

pytestmark = pytest.mark.detectron2

COMPACT = {"type": "mask_objectives.CompactMask", "weight": 0.5}
COCO_AP = {"type": "contrastbench.core.metrics.mask_ap.CocoAP"}
CITYSCAPES_AP = {"type": "contrastbench.core.metrics.mask_ap.CityscapesAP"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    return {"name": "folder", "root": str(write_shapes(tmp_path / "shapes"))}


def schedule(iterations: int = 6, **options: Any) -> dict[str, Any]:
    return {
        "iterations": iterations,
        "batch_size": 2,
        "optimizer": {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001},
        "checkpoint_every": 2,
        **options,
    }


def training(data: dict[str, Any], objective: dict[str, Any] | None = None, **options: Any) -> InstanceTraining:
    seed, network = options.pop("seed", 0), options.pop("network", None) or slim()
    evaluators = options.pop("evaluators", [Tally()])
    return InstanceTraining(network, data, schedule(**options), objective, evaluators, seed, threads=1, device="cpu")


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run_dir / "weights.pth", weights_only=True)["model"]
    return state


def folder(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir()
    return path


def comparable(metrics: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from one run to the next."""
    return {k: v for k, v in metrics.items() if not k.endswith(("_seconds", "_bytes"))}


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    alike = (first / "results.json").read_text() == (second / "results.json").read_text()
    return alike and one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


class InterruptError(Exception):
    pass


def test_trains_evaluates_and_tidies_up(
    data: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_dir, steps = folder(tmp_path, "run"), list[tuple[int, int]]()

    metrics = training(data, COMPACT, evaluators=[COCO_AP, Tally()]).run(
        run_dir, lambda done, total: steps.append((done, total))
    )

    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert 0 <= metrics["AP_seg"] <= 100
    assert metrics["evaluation"] == "mask AP, COCO API; counted; the images' own size"
    assert set(metrics["per_class"]) >= {"AP_seg", "results"}
    assert metrics["iterations"] == 6
    assert metrics["counts"]["steps"] == 6
    assert metrics["train_seconds"] > 0
    assert metrics["val_seconds"] > 0
    assert metrics["peak_memory_bytes"] > 0
    assert steps == [(done, 6) for done in range(1, 7)]
    assert sorted(path.name for path in run_dir.iterdir()) == ["metrics.json", "results.json", "weights.pth"]
    assert capfd.readouterr() == ("", "")
    results = read_results(run_dir / "results.json", open_instances(data).ground_truth("val"))
    assert len(results) == metrics["results"] > 0
    assert not any("objective" in name for name in weights(run_dir))
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert metrics["parameters"] == sum(v.numel() for n, v in weights(run_dir).items() if not n.endswith(statistics))


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools, under numpy 2
def test_a_plain_model_gives_the_same_results(data: dict[str, Any], tmp_path: Path) -> None:
    run_dir, source = folder(tmp_path, "run"), open_instances(data)
    training(data, COMPACT).run(run_dir)
    cfg = configure(slim(), None, 2)
    plain = build_network(cfg)

    missed = DetectionCheckpointer(plain).load(str(run_dir / "weights.pth"))
    plain.load_state_dict(weights(run_dir), strict=True)

    assert "model" not in missed  # all taken
    results = predict(plain, Mapped(records(source, "val"), [], cfg.INPUT.FORMAT, False), source.category_ids, 1, 0)
    assert results == json.loads((run_dir / "results.json").read_text())


def test_same_seed_same_run_and_other_seed_another(data: dict[str, Any], tmp_path: Path) -> None:
    runs = [folder(tmp_path, name) for name in ("first", "second", "third")]
    first = training(data, COMPACT).run(runs[0])
    torch.rand(3)  # what was drawn before does not matter
    second = training(data, COMPACT).run(runs[1])
    training(data, COMPACT, seed=1).run(runs[2])

    assert comparable(first) == comparable(second)
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_an_objective_of_no_weight_changes_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    runs = [folder(tmp_path, name) for name in ("with", "without")]
    training(data, {**COMPACT, "weight": 0.0}).run(runs[0])
    training(data).run(runs[1])

    assert same(runs[0], runs[1])


@pytest.mark.parametrize("stops", [[3], [1, 4, 6]])
def test_interrupted_and_resumed_is_undisturbed(data: dict[str, Any], tmp_path: Path, stops: list[int]) -> None:
    whole, pieces = folder(tmp_path, "whole"), folder(tmp_path, "pieces")
    expected = training(data, COMPACT).run(whole)

    reported: list[int] = []
    for stop in stops:

        def report(done: int, total: int, stop: int = stop) -> None:
            reported.append(done)
            if done == stop:
                raise InterruptError

        with pytest.raises(InterruptError):
            training(data, COMPACT).run(pieces, report)
    resumed = training(data, COMPACT).run(pieces, lambda done, total: reported.append(done))

    assert comparable(resumed) == comparable(expected)
    assert same(pieces, whole)
    if stops == [3]:
        assert reported == [1, 2, 3, 3, 4, 5, 6]  # from the checkpoint at 2, not from the beginning


@pytest.mark.slow
def test_swin_resumes_where_it_was(data: dict[str, Any], tmp_path: Path) -> None:
    """Blocks that are left out at random are the same ones."""
    options = {"network": {**slim(), "backbone": "swin_tiny"}, "iterations": 3}
    whole, pieces = folder(tmp_path, "whole"), folder(tmp_path, "pieces")
    training(data, **options).run(whole)

    def report(done: int, total: int) -> None:
        if done == 2:
            raise InterruptError

    with pytest.raises(InterruptError):
        training(data, **options).run(pieces, report)
    training(data, **options).run(pieces)

    assert same(pieces, whole)


def test_loading_processes_change_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    runs = [folder(tmp_path, name) for name in ("none", "two")]
    options = {"iterations": 2, "crop": [32, 48], "scale": [0.8, 1.2], "jitter": True}
    training(data, **options).run(runs[0])
    training(data, workers=2, **options).run(runs[1])

    assert same(runs[0], runs[1])


@pytest.mark.parametrize("layout", ["coco", "cityscapes"])
def test_scenes(layout: str, data: dict[str, Any], tmp_path: Path) -> None:
    scenes = {"name": "scenes", "seed": 1, "train": 4, "val": 2, "size": [64, 128], "layout": layout}
    evaluator = CITYSCAPES_AP if layout == "cityscapes" else COCO_AP
    metrics = training(
        scenes, COMPACT, iterations=2, evaluators=[evaluator], short_side=[64, 72], val_short_side=64
    ).run(folder(tmp_path, "run"))

    assert metrics["evaluation"].endswith("; 64x128, found at a short side of 64")
    assert metrics["counts"]["rois"] > 0


def test_at_another_size(data: dict[str, Any], tmp_path: Path) -> None:
    metrics = training({**data, "size": [24, 32]}, iterations=1).run(run_dir := folder(tmp_path, "run"))

    assert metrics["evaluation"] == "counted; 24x32"
    sizes = {tuple(result["segmentation"]["size"]) for result in json.loads((run_dir / "results.json").read_text())}
    assert sizes == {(24, 32)}


def test_trains_on_from_weights(data: dict[str, Any], tmp_path: Path) -> None:
    first, second = folder(tmp_path, "first"), folder(tmp_path, "second")
    training(data, iterations=1).run(first)
    network = {**slim(MODEL__RESNETS__STRIDE_IN_1X1=True), "weights": str(first / "weights.pth")}
    training(data, iterations=1, network=network).run(second)

    # Its first stage is frozen now, its statistics everywhere.
    frozen = [n for n in weights(second) if ".stem." in n or ".res2." in n or "running" in n]
    assert len(frozen) > 10
    assert all(torch.equal(weights(first)[name], weights(second)[name]) for name in frozen)
    assert not same(first, second)


def test_a_loss_that_is_no_number_stops_the_run(data: dict[str, Any], tmp_path: Path) -> None:
    run_dir = folder(tmp_path, "run")

    with pytest.raises(NonFiniteLossError, match=r"step 3: objective\.loss_compact is nan"):
        training(data, {"type": "mask_objectives.PoisonMask"}).run(run_dir)

    assert [path.name for path in run_dir.iterdir()] == ["checkpoint.pth"]


def test_the_surroundings_are_left_as_found(data: dict[str, Any], tmp_path: Path) -> None:
    def state() -> tuple[Any, ...]:
        return torch.rand(1), np.random.random(), random.random(), DatasetCatalog.list()  # noqa: NPY002

    def seed() -> None:
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)

    seed()
    expected = state()
    seed()
    training(data, iterations=1).run(folder(tmp_path, "run"))

    assert state() == expected


def test_fingerprint_follows_the_data(data: dict[str, Any]) -> None:
    first = training(data).fingerprint()
    image, other, *_ = sorted((Path(data["root"]) / "images").iterdir())
    image.write_bytes(other.read_bytes())

    assert training(data).fingerprint() != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"backbone": "resnet19"}}, "did you mean 'resnet18'"),
        ({"network": {"weights": "/nowhere.pkl"}}, "there is no file '/nowhere.pkl'"),
        ({"objective": {"type": "mask_objectives.Nothing"}}, "unknown objective"),
        ({"evaluators": []}, "no evaluator"),
        ({"short_sides": 3}, "did you mean 'short_side'"),
        ({"size": [24]}, r"data\.size is \[24\]"),
    ],
)
def test_bad_configuration_is_explained(
    data: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    size = change.pop("size", None)
    with pytest.raises(InputError, match=message):
        training({**data, "size": size}, **change).run(folder(tmp_path, "run"))


@pytest.mark.slow
def test_learns_the_shapes(data: dict[str, Any], tmp_path: Path) -> None:
    shapes = {**data, "root": str(write_shapes(tmp_path / "more", images=45))}
    options: dict[str, Any] = {
        "optimizer": {"type": "AdamW", "lr": 0.002},
        "course": "one_cycle",
        "network": slim(MODEL__FPN__OUT_CHANNELS=32, MODEL__ROI_MASK_HEAD__CONV_DIM=32),
        "evaluators": [COCO_AP],
        "seed": 100,
        "batch_size": 4,
        "checkpoint_every": 200,
    }
    short = training(shapes, COMPACT, iterations=1, **options).run(folder(tmp_path, "short"))
    longer = training(shapes, COMPACT, iterations=120, warmup=20, **options).run(folder(tmp_path, "longer"))

    assert longer["AP_seg"] > short["AP_seg"] + 20


@pytest.mark.slow
def test_ranks_resume_together(data: dict[str, Any], tmp_path: Path) -> None:
    # Without an objective, as the tests' own keeps a mean on each rank that is not the other's.
    arguments = [slim(), data, schedule(iterations=4), None, [{"type": "mask_objectives.Tally"}], 0, 1, "cpu"]
    folders = [str(folder(tmp_path, name)) for name in ("whole", "pieces")]

    [(whole, pieces), others] = run_ranks(2, train_detectron2_in_pieces_on_rank, arguments, *folders, 3)

    assert comparable(pieces) == comparable(whole)
    assert [comparable(metrics) for metrics in others] == [comparable(whole)] * 2
    assert same(tmp_path / "pieces", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("backbone", "optimizer"),
    [
        ("resnet50", {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001}),
        ("swin_tiny", {"type": "AdamW", "lr": 0.0001, "weight_decay": 0.05}),
    ],
)
def test_the_paper_s_setting_takes_two_steps(
    backbone: str, optimizer: dict[str, Any], data: dict[str, Any], tmp_path: Path
) -> None:
    metrics = training(
        {"name": "scenes", "seed": 1, "train": 2, "val": 1, "size": [256, 512], "layout": "cityscapes"},
        COMPACT,
        network={"backbone": backbone},
        iterations=2,
        batch_size=1,
        optimizer=optimizer,
        short_side=[640],  # the paper's 800 to 1024 need more memory than a test may take
        long_side=2048,
        val_short_side=640,
        val_long_side=2048,
        evaluators=[COCO_AP, CITYSCAPES_AP],
    ).run(folder(tmp_path, "run"))

    assert 43e6 < metrics["parameters"] < 48e6
    assert metrics["counts"]["rois"] > 0
    assert "AP_cityscapes" in metrics
    assert "AP_seg" in metrics
