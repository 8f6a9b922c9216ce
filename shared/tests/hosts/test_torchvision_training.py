from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("torchvision", reason="needs the torchvision extra")
from instance_ranks import train_instances_in_pieces_on_rank, train_instances_on_rank
from small_instances import slim, write_shapes

from contrastbench.core.data.coco import decode, read_results
from contrastbench.core.data.instances import open_instances
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.torchvision import InstanceTraining, NonFiniteLossError, build_mask_rcnn
from contrastbench.core.testing.ranks import run_ranks

COMPACT = {"type": "mask_objectives.CompactMask", "weight": 0.5}
TALLY = {"type": "mask_objectives.Tally"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    return {"name": "folder", "root": str(write_shapes(tmp_path / "shapes"))}


def schedule(iterations: int = 8, **options: Any) -> dict[str, Any]:
    return {
        "iterations": iterations,
        "batch_size": 2,
        "optimizer": {"type": "AdamW", "lr": 0.002},
        "course": "one_cycle",
        "warmup": 2 if iterations > 2 else 0,
        "crop": [40, 48],
        "scale": [0.8, 1.25],
        "jitter": True,
        "checkpoint_every": 3,
        **options,
    }


def training(data: dict[str, Any], objective: dict[str, Any] | None = None, **options: Any) -> InstanceTraining:
    seed, network = options.pop("seed", 0), options.pop("network", None) or slim(box_score_thresh=0.0)
    evaluators = options.pop("evaluators", [TALLY])
    return InstanceTraining(network, data, schedule(**options), objective, evaluators, seed, threads=1, device="cpu")


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run_dir / "weights.pth", weights_only=True)["state_dict"]
    return state


def comparable(metrics: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from one run to the next."""
    return {k: v for k, v in metrics.items() if not k.endswith(("_seconds", "_bytes"))}


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    alike = one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
    return alike and (first / "results.json").read_bytes() == (second / "results.json").read_bytes()


class InterruptError(Exception):
    pass


def interrupted(experiment: InstanceTraining, run_dir: Path, stop: int, reported: list[int]) -> None:
    def report(done: int, total: int) -> None:
        reported.append(done)
        if done == stop:
            raise InterruptError

    with pytest.raises(InterruptError):
        experiment.run(run_dir, report)


def test_trains_evaluates_and_tidies_up(
    data: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_dir, steps = tmp_path / "run", list[tuple[int, int]]()
    coco = {"type": "contrastbench.core.metrics.mask_ap.CocoAP"}

    metrics = training(data, COMPACT, evaluators=[coco, TALLY]).run(
        run_dir, lambda done, total: steps.append((done, total))
    )

    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert 0 <= metrics["AP_seg"] <= 100
    assert set(metrics["per_class"]["AP_seg"]) == set(metrics["per_class"]["results"]) == {"disc", "rectangle"}
    assert metrics["evaluation"] == "mask AP, COCO API; counted; the images' own size"
    assert metrics["iterations"] == metrics["counts"]["steps"] == 8
    assert metrics["parameters"] == sum(v.numel() for n, v in weights(run_dir).items() if not is_statistic(n))
    assert metrics["train_seconds"] > 0
    assert metrics["val_seconds"] > 0
    assert metrics["peak_memory_bytes"] > 0
    assert steps == [(done, 8) for done in range(1, 9)]
    assert sorted(path.name for path in run_dir.iterdir()) == ["metrics.json", "results.json", "weights.pth"]
    assert capfd.readouterr() == ("", "")


def is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def test_coco_ap_is_the_measure_where_none_is_named(data: dict[str, Any], tmp_path: Path) -> None:
    experiment = InstanceTraining(slim(), data, schedule(1), threads=1, device="cpu")

    assert "AP_seg" in experiment.run(tmp_path / "run")


def test_results_are_coco_s(data: dict[str, Any], tmp_path: Path) -> None:
    metrics = training({**data, "size": [24, 32]}).run(tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    truth = open_instances(data).ground_truth("val")

    assert metrics["evaluation"] == "counted; 24x32"
    assert metrics["results"] == len(results) > 0
    assert {result["image_id"] for result in results} <= {image["id"] for image in truth["images"]}
    assert {result["category_id"] for result in results} <= {3, 7}
    for result in results:
        assert decode(result["segmentation"], 24, 32).shape == (24, 32)
    sized = {**truth, "images": [{**image, "height": 24, "width": 32} for image in truth["images"]], "annotations": []}
    sized["annotations"] = [{**a, "segmentation": [[0, 0, 4, 0, 4, 4]], "bbox": [0, 0, 4, 4], "area": 16}
                            for a in truth["annotations"]]  # fmt: skip
    assert len(read_results(results, sized)) == len(results)


def test_evaluators_see_ground_truth_at_the_evaluated_size(data: dict[str, Any], tmp_path: Path) -> None:
    seen: list[Any] = []

    def evaluator(truth: Any, results: Any) -> dict[str, Any]:
        seen.append(truth)
        return {}

    training({**data, "size": [24, 32]}, iterations=1, evaluators=[evaluator]).run(tmp_path / "sized")
    training(data, iterations=1, evaluators=[evaluator]).run(tmp_path / "plain")

    sized, plain = ({(image["height"], image["width"]) for image in truth["images"]} for truth in seen)
    assert (sized, plain) == ({(24, 32)}, {(48, 64)})
    assert seen[0]["annotations"][0]["segmentation"]["size"] == [24, 32]


@pytest.mark.slow
def test_learns_the_shapes(data: dict[str, Any], tmp_path: Path) -> None:
    many = {**data, "root": str(write_shapes(tmp_path / "many", images=45))}
    plain = {"crop": None, "scale": [1, 1], "jitter": False, "batch_size": 4}
    plain["evaluators"] = [{"type": "contrastbench.core.metrics.mask_ap.CocoAP"}]
    plain["network"] = slim(width=16, fpn_channels=32, mask_channels=[32], mask_features=32, head_norm=True)

    metrics = training(many, iterations=150, **plain, warmup=30).run(tmp_path / "run")

    assert metrics["AP50"] > 50


def test_a_plain_model_gives_the_same_results(data: dict[str, Any], tmp_path: Path) -> None:
    training(data, COMPACT).run(tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    plain = build_mask_rcnn(slim(box_score_thresh=0.0), 2).eval()

    plain.load_state_dict(weights(tmp_path / "run"), strict=True)

    from contrastbench.core.hosts.torchvision.dataset import Pictures
    from contrastbench.core.hosts.torchvision.evaluation import predict

    again = predict(plain, Pictures(open_instances(data), "val"), 1, torch.device("cpu"), 0)
    assert json.loads(json.dumps(again)) == results


def test_same_seed_same_run_and_other_seed_another(data: dict[str, Any], tmp_path: Path) -> None:
    first = training(data, COMPACT).run(tmp_path / "first")
    torch.rand(3)  # what was drawn before does not matter
    second = training(data, COMPACT).run(tmp_path / "second")
    training(data, COMPACT, seed=1).run(tmp_path / "third")

    assert comparable(first) == comparable(second)
    assert same(tmp_path / "first", tmp_path / "second")
    assert not same(tmp_path / "first", tmp_path / "third")


def test_an_objective_of_no_weight_changes_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    training(data, {**COMPACT, "weight": 0.0}).run(tmp_path / "with")
    training(data).run(tmp_path / "without")

    assert same(tmp_path / "with", tmp_path / "without")


@pytest.mark.parametrize("stops", [[4], [1, 5, 8], [3, 6]])
def test_interrupted_and_resumed_is_undisturbed(data: dict[str, Any], tmp_path: Path, stops: list[int]) -> None:
    expected = training(data, COMPACT).run(tmp_path / "whole")

    reported: list[int] = []
    for stop in stops:
        interrupted(training(data, COMPACT), tmp_path / "pieces", stop, reported)
    resumed = training(data, COMPACT).run(tmp_path / "pieces", lambda done, total: reported.append(done))

    assert comparable(resumed) == comparable(expected)
    assert same(tmp_path / "pieces", tmp_path / "whole")
    if stops == [4]:
        assert reported == [1, 2, 3, 4, 4, 5, 6, 7, 8]  # from the checkpoint at 3, not from the beginning


def test_killed_and_resumed_is_undisturbed(data: dict[str, Any], tmp_path: Path) -> None:
    expected = training(data, COMPACT).run(tmp_path / "whole")
    arguments = [slim(box_score_thresh=0.0), data, schedule(), COMPACT, [TALLY], 0, 1, "cpu"]
    code = (
        "import json, os, signal, sys\n"
        "from pathlib import Path\n"
        "from contrastbench.core.hosts.torchvision import InstanceTraining\n"
        "def report(done, total):\n"
        "    if done == 5:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "InstanceTraining(*json.loads(sys.argv[1])).run(Path(sys.argv[2]), report)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    child = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments), str(tmp_path / "pieces")],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / "pieces" / "checkpoint.pth").is_file()

    resumed = training(data, COMPACT).run(tmp_path / "pieces")

    assert comparable(resumed) == comparable(expected)
    assert same(tmp_path / "pieces", tmp_path / "whole")


def test_a_checkpoint_that_was_not_finished_changes_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    training(data).run(tmp_path / "whole")
    interrupted(training(data), tmp_path / "pieces", 4, [])
    (tmp_path / "pieces" / "checkpoint.pth.partial").write_bytes(b"half")

    training(data).run(tmp_path / "pieces")

    assert same(tmp_path / "pieces", tmp_path / "whole")


def test_loading_processes_change_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    training(data, iterations=3).run(tmp_path / "none")
    training(data, iterations=3, workers=2).run(tmp_path / "two")

    assert same(tmp_path / "none", tmp_path / "two")


def test_images_evaluated_together_change_little(data: dict[str, Any], tmp_path: Path) -> None:
    training(data, iterations=3).run(tmp_path / "one")
    training(data, iterations=3, val_batch_size=2).run(tmp_path / "two")
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))

    assert [result["image_id"] for result in one] == [result["image_id"] for result in two]
    assert [r["score"] for r in one] == pytest.approx([r["score"] for r in two], abs=1e-4)


def test_clipping_bounds_the_step(data: dict[str, Any], tmp_path: Path) -> None:
    network = slim(box_score_thresh=0.0, head_norm=True)
    plain: dict[str, Any] = {"iterations": 1, "optimizer": {"type": "SGD", "lr": 1.0}, "network": network}
    for name, clip in (("start", 1e-12), ("clipped", 0.01)):
        training(data, **plain, clip=clip).run(tmp_path / name)
    start, clipped = weights(tmp_path / "start"), weights(tmp_path / "clipped")

    moved = torch.stack(
        [(clipped[name] - value).square().sum() for name, value in start.items() if not is_statistic(name)]
    )
    assert moved.sum().sqrt().item() == pytest.approx(0.01, rel=1e-3)


def test_training_on_images_without_instances(data: dict[str, Any], tmp_path: Path) -> None:
    path = Path(data["root"]) / "instances.json"
    content = json.loads(path.read_text())
    kept = content["annotations"][0]["image_id"], content["images"][2]["id"]  # one in train, one in val
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    path.write_text(json.dumps(content))

    metrics = training(data, COMPACT).run(tmp_path / "run")

    assert metrics["counts"]["steps"] == 8


def test_a_loss_that_is_no_number_stops_the_run(data: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match=r"step 3: loss_compact is nan \(its inputs are finite\)"):
        training(data, {"type": "mask_objectives.PoisonMask"}, checkpoint_every=2).run(tmp_path)

    assert not (tmp_path / "weights.pth").exists()
    state = torch.load(tmp_path / "checkpoint.pth", weights_only=True)["model"]
    assert all(bool(value.isfinite().all()) for value in state.values())


def test_generators_and_threads_are_left_as_found(data: dict[str, Any], tmp_path: Path) -> None:
    def state() -> tuple[Any, ...]:
        return torch.rand(1), np.random.random(), random.random(), torch.get_num_threads()  # noqa: NPY002

    def seed() -> None:
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)

    seed()
    expected = state()
    seed()
    experiment = training(data, iterations=1)
    experiment.threads = torch.get_num_threads() + 1
    experiment.run(tmp_path / "run")

    assert state() == expected


def test_fingerprint_follows_the_data(data: dict[str, Any]) -> None:
    first = training(data).fingerprint()
    path = Path(data["root"]) / "instances.json"
    content = json.loads(path.read_text())
    content["annotations"].pop()
    path.write_text(json.dumps(content))

    assert training(data).fingerprint() != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"bakcbone": "resnet18"}}, "did you mean 'backbone'"),
        ({"size": [24]}, "data.size"),
        ({"size": [24.0, 32]}, "data.size"),
        ({"objective": {"type": "mask_objectives.Nothing"}}, "unknown objective"),
    ],
)
def test_bad_configuration_is_explained(
    data: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    data = {**data, "size": change.pop("size", None)}
    with pytest.raises(InputError, match=message):
        training(data, **change).run(tmp_path / "run")


def test_bad_configuration_is_explained_before_the_run(data: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="device is 'tpu'"):
        InstanceTraining(slim(), data, schedule(), device="tpu")
    with pytest.raises(InputError, match="unknown metric in mask_objectives 'Nothing'"):
        training(data, evaluators=[{"type": "mask_objectives.Nothing"}])
    with pytest.raises(InputError, match="unknown optimizer"):
        training(data, optimizer={"type": "Nothing"})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_explained(data: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="device=cuda, and torch finds no GPU"):
        InstanceTraining(slim(), data, schedule(), device="cuda")


@pytest.mark.slow
def test_two_ranks_agree(data: dict[str, Any], tmp_path: Path) -> None:
    options = {"batch_size": 4, "iterations": 4, "optimizer": {"type": "SGD", "lr": 0.05}, "checkpoint_every": 2}
    arguments = [slim(box_score_thresh=0.0), data, schedule(**options), COMPACT, [TALLY], 0, 1, "cpu"]

    ranks = run_ranks(2, train_instances_on_rank, arguments, str(tmp_path / "together"))

    assert comparable(ranks[0]) == comparable(ranks[1])
    results = json.loads((tmp_path / "together" / "results.json").read_text())
    assert ranks[0]["results"] == len(results)
    order = [image["id"] for image in open_instances(data).ground_truth("val")["images"]]
    places = [order.index(result["image_id"]) for result in results]
    assert places == sorted(places)
    assert set(places) == set(range(len(order)))
    assert all(bool(value.isfinite().all()) for value in weights(tmp_path / "together").values())


@pytest.mark.slow
def test_ranks_resume_together(data: dict[str, Any], tmp_path: Path) -> None:
    arguments = [slim(), data, schedule(4, batch_size=4), COMPACT, [TALLY], 0, 1, "cpu"]
    folders = [str(tmp_path / name) for name in ("whole", "pieces")]

    [(whole, pieces), _] = run_ranks(2, train_instances_in_pieces_on_rank, arguments, *folders, 3)

    assert comparable(pieces) == comparable(whole)
    assert same(tmp_path / "pieces", tmp_path / "whole")


@pytest.mark.slow
def test_a_batch_that_does_not_divide_by_the_ranks_is_refused(data: dict[str, Any], tmp_path: Path) -> None:
    arguments = [slim(), data, schedule(2, batch_size=3), None, [TALLY], 0, 1, "cpu"]

    with pytest.raises(Exception, match="batch_size 3 does not divide by 2 ranks"):
        run_ranks(2, train_instances_on_rank, arguments, str(tmp_path / "run"))
