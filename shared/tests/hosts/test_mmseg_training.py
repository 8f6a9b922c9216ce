from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmseg_ranks import train_on_rank, train_whole_and_in_pieces_on_rank
from small_data import write_camvid
from small_networks import hrnet, mmseg_model, ocr

pytest.importorskip("mmseg", reason="needs the mmseg extra")
from mmengine import Config
from mmseg.registry import MODELS

from contrastbench.core.data.sources import open_source
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg import NonFiniteLossError, SemanticTraining
from contrastbench.core.hosts.mmseg.dataset import SourceDataset
from contrastbench.core.hosts.mmseg.evaluation import evaluate
from contrastbench.core.hosts.mmseg.transforms import PackEvaluated
from contrastbench.core.metrics import mean_iou
from contrastbench.core.testing.ranks import run_ranks

COMPACT = {"type": "seat_objectives.Compact", "weight": 0.5}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    return {"name": "camvid", "root": str(write_camvid(tmp_path / "camvid")), "size": [24, 32]}


def schedule(iterations: int = 8, **options: Any) -> dict[str, Any]:
    return {
        "iterations": iterations,
        "batch_size": 2,
        "optimizer": {"type": "AdamW", "lr": 0.002},
        "checkpoint_every": 3,
        **options,
    }


def training(data: dict[str, Any], objective: dict[str, Any] | None = None, **options: Any) -> SemanticTraining:
    seed = options.pop("seed", 0)
    network = options.pop("network", None) or hrnet()
    return SemanticTraining(network, data, schedule(**options), objective, seed=seed, threads=1, device="cpu")


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run_dir / "weights.pth", weights_only=True)["state_dict"]
    return state


def folder(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir()
    return path


def comparable(metrics: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from one run to the next."""
    return {k: v for k, v in metrics.items() if not k.endswith(("_seconds", "_bytes"))}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def test_trains_evaluates_and_tidies_up(
    data: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_dir, steps = folder(tmp_path, "run"), list[tuple[int, int]]()

    metrics = training(data, COMPACT).run(run_dir, lambda done, total: steps.append((done, total)))

    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert 0 <= metrics["mIoU"] <= 100
    assert metrics["evaluation"] == "mIoU, single scale, 24x32"
    assert set(metrics["per_class"]["IoU"]) >= {"sky", "bicyclist"}
    assert metrics["iterations"] == 8
    assert metrics["counts"]["steps"] == 8
    assert metrics["parameters"] == sum(v.numel() for n, v in weights(run_dir).items() if not is_statistic(n))
    assert metrics["train_seconds"] > 0
    assert metrics["peak_memory_bytes"] > 0
    assert steps == [(done, 8) for done in range(1, 9)]
    left = sorted(path.name for path in run_dir.iterdir() if path.suffix in (".json", ".partial", ".pth"))
    assert left == ["metrics.json", "objective.pth", "weights.pth"]
    assert training(data, COMPACT).run(run_dir) == metrics
    assert capfd.readouterr() == ("", "")


def is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def test_learns_the_stripes(data: dict[str, Any], tmp_path: Path) -> None:
    stripes = {**data, "root": str(write_camvid(tmp_path / "stripes", train=40, val=10)), "size": [48, 64]}
    plain: dict[str, Any] = {
        "batch_size": 4,
        "scale": [1.0, 1.0],
        "jitter": False,
        "optimizer": {"type": "AdamW", "lr": 0.01},
    }

    plain["network"] = hrnet((8, 8, 8, 8))
    short = training(stripes, iterations=1, **plain).run(folder(tmp_path, "short"))
    longer = training(stripes, iterations=100, **plain).run(folder(tmp_path, "longer"))

    assert longer["mIoU"] > short["mIoU"] + 10


def test_a_plain_model_gives_the_same_predictions(data: dict[str, Any], tmp_path: Path) -> None:
    run_dir = folder(tmp_path, "run")
    metrics = training(data, COMPACT).run(run_dir)
    from mmengine.registry import DefaultScope

    # As mmsegmentation's own configurations have it.
    scale = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "bgr_to_rgb": True}
    seen = {"data_preprocessor": {"type": "SegDataPreProcessor", **scale}}
    with DefaultScope.overwrite_default_scope("mmseg"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmseg's, about its own defaults
        plain = MODELS.build(Config(mmseg_model(hrnet(), 11, type="EncoderDecoder", **seen)))
    plain.load_state_dict(weights(run_dir), strict=True)
    plain.to(memory_format=torch.channels_last)
    val = SourceDataset(open_source(data), "val", data["size"], [PackEvaluated()], test_mode=True)

    assert mean_iou(evaluate(plain, val, 1, torch.device("cpu"), 0)).miou == metrics["mIoU"]


def test_same_seed_same_run_and_other_seed_another(data: dict[str, Any], tmp_path: Path) -> None:
    runs = [folder(tmp_path, name) for name in ("first", "second", "third")]
    first = training(data, COMPACT).run(runs[0])
    torch.rand(3)  # what was drawn before does not matter
    second = training(data, COMPACT).run(runs[1])
    training(data, COMPACT, seed=1).run(runs[2])

    assert comparable(first) == comparable(second)
    assert same(weights(runs[0]), weights(runs[1]))
    assert not same(weights(runs[0]), weights(runs[2]))


def test_an_objective_of_no_weight_changes_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    runs = [folder(tmp_path, name) for name in ("with", "without")]
    training(data, {**COMPACT, "weight": 0.0}).run(runs[0])
    training(data).run(runs[1])

    assert same(weights(runs[0]), weights(runs[1]))


class InterruptError(Exception):
    pass


@pytest.mark.parametrize("average", [None, 0.9])
@pytest.mark.parametrize("stops", [[4], [1, 5, 8], [3, 6]])
def test_interrupted_and_resumed_is_undisturbed(
    data: dict[str, Any], tmp_path: Path, stops: list[int], average: float | None, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, pieces = folder(tmp_path, "whole"), folder(tmp_path, "pieces")
    expected = training(data, COMPACT, average=average).run(whole)

    reported: list[int] = []
    for stop in stops:

        def report(done: int, total: int, stop: int = stop) -> None:
            reported.append(done)
            if done == stop:
                raise InterruptError

        with pytest.raises(InterruptError):
            training(data, COMPACT, average=average).run(pieces, report)
    resumed = training(data, COMPACT, average=average).run(pieces, lambda done, total: reported.append(done))

    assert comparable(resumed) == comparable(expected)
    assert same(weights(pieces), weights(whole))
    assert capfd.readouterr() == ("", "")
    if stops == [4]:
        assert reported == [1, 2, 3, 4, 4, 5, 6, 7, 8]  # from the checkpoint at 3, not from the beginning


def test_dropout_resumes_where_it_was(data: dict[str, Any], tmp_path: Path) -> None:
    network = hrnet()
    network["decode_head"]["dropout_ratio"] = 0.5
    whole, pieces = folder(tmp_path, "whole"), folder(tmp_path, "pieces")
    training(data, network=network).run(whole)

    def report(done: int, total: int) -> None:
        if done == 5:
            raise InterruptError

    with pytest.raises(InterruptError):
        training(data, network=network).run(pieces, report)
    training(data, network=network).run(pieces)

    assert same(weights(pieces), weights(whole))


def test_loading_processes_change_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    runs = [folder(tmp_path, name) for name in ("none", "two")]
    training(data, iterations=3).run(runs[0])
    training(data, iterations=3, workers=2).run(runs[1])

    assert same(weights(runs[0]), weights(runs[1]))


def test_killed_and_resumed_is_undisturbed(data: dict[str, Any], tmp_path: Path) -> None:
    whole, pieces = folder(tmp_path, "whole"), folder(tmp_path, "pieces")
    expected = training(data, COMPACT).run(whole)
    arguments = [hrnet(), data, schedule(), COMPACT, 0, 1, "cpu"]
    code = (
        "import json, os, signal, sys\n"
        "from pathlib import Path\n"
        "from contrastbench.core.hosts.mmseg import SemanticTraining\n"
        "def report(done, total):\n"
        "    if done == 5:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "SemanticTraining(*json.loads(sys.argv[1])).run(Path(sys.argv[2]), report)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    child = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments), str(pieces)],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    assert (pieces / "checkpoint.pth").is_file()

    resumed = training(data, COMPACT).run(pieces)

    assert comparable(resumed) == comparable(expected)
    assert same(weights(pieces), weights(whole))


def test_average_is_over_the_weights(data: dict[str, Any], tmp_path: Path) -> None:
    runs = [folder(tmp_path, name) for name in ("last", "mean")]
    training(data).run(runs[0])
    training(data, average=0.9).run(runs[1])
    last, mean = weights(runs[0]), weights(runs[1])

    assert not torch.equal(last["decode_head.conv_seg.weight"], mean["decode_head.conv_seg.weight"])
    assert torch.equal(last["backbone.bn1.num_batches_tracked"], mean["backbone.bn1.num_batches_tracked"])


def test_a_loss_that_is_no_number_stops_the_run(data: dict[str, Any], tmp_path: Path) -> None:
    run_dir = folder(tmp_path, "run")

    with pytest.raises(NonFiniteLossError, match=r"step 3: objective\.loss_compact is nan"):
        training(data, {"type": "seat_objectives.Poison"}, checkpoint_every=2).run(run_dir)

    assert not (run_dir / "weights.pth").exists()
    state = torch.load(run_dir / "checkpoint.pth", weights_only=True)["state_dict"]
    assert all(bool(value.isfinite().all()) for value in state.values())


def test_generators_threads_and_scope_are_left_as_found(data: dict[str, Any], tmp_path: Path) -> None:
    from mmengine.registry import DefaultScope

    def state() -> tuple[Any, ...]:
        scope = DefaultScope.get_current_instance()
        threads = torch.get_num_threads(), cv2.getNumThreads()
        return torch.rand(1), np.random.random(), random.random(), threads, scope and scope.scope_name  # noqa: NPY002

    def seed() -> None:
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)

    seed()
    expected = state()
    seed()
    experiment = training(data, iterations=1)
    experiment.threads = torch.get_num_threads() + 1
    experiment.run(folder(tmp_path, "run"))

    assert state() == expected


def test_cascades_train(data: dict[str, Any], tmp_path: Path) -> None:
    metrics = training(data, COMPACT, network=ocr(), iterations=2).run(folder(tmp_path, "run"))

    assert metrics["counts"]["steps"] == 2


def test_taps_come_with_the_objective(data: dict[str, Any], tmp_path: Path) -> None:
    metrics = training(data, {**COMPACT, "taps": [1, 3]}, iterations=1).run(folder(tmp_path, "run"))

    assert metrics["counts"]["steps"] == 1


def test_without_size_images_keep_theirs(data: dict[str, Any], tmp_path: Path) -> None:
    metrics = training({**data, "size": None}, iterations=1).run(folder(tmp_path, "run"))

    assert metrics["evaluation"] == "mIoU, single scale, the images' own size"


def test_fingerprint_follows_the_data(data: dict[str, Any], tmp_path: Path) -> None:
    first = training(data).fingerprint()
    (tmp_path / "camvid" / "train" / "0000.png").unlink()
    (tmp_path / "camvid" / "trainannot" / "0000.png").unlink()

    assert training(data).fingerprint() != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {**hrnet(), "bakcbone": {}}}, "did you mean 'backbone'"),
        ({"network": {"backbone": {}}}, "lacks decode_head"),
        ({"network": {**hrnet(), "backbone": {}}}, "network.backbone has no type"),
        ({"network": {**hrnet(), "decode_head": {"type": "FCNHaed"}}}, "type of network.decode_head.*'FCNHead'"),
        ({"network": {**hrnet(), "pretrained": "/nowhere.pth"}}, "no file '/nowhere.pth'"),
        ({"size": [24]}, "data.size"),
        ({"objective": {"type": "seat_objectives.Nothing"}}, "unknown objective"),
    ],
)
def test_bad_configuration_is_explained(
    data: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    size = change.pop("size", data["size"])
    with pytest.raises(InputError, match=message):
        training({**data, "size": size}, **change).run(folder(tmp_path, "run"))


def test_unknown_device_is_explained(data: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="device is 'tpu'"):
        SemanticTraining(hrnet(), data, schedule(), device="tpu")


@pytest.mark.slow
def test_two_ranks_train_as_one_on_the_joint_batch(data: dict[str, Any], tmp_path: Path) -> None:
    # Statistics of groups within an image, as those of a batch are each rank's own on a CPU.
    network = {**hrnet(), "norm_cfg": {"type": "GN", "num_groups": 2}}
    network["decode_head"]["dropout_ratio"] = 0
    options = {"batch_size": 4, "iterations": 4, "optimizer": {"type": "SGD", "lr": 0.05}, "checkpoint_every": 2}
    alone = training(data, network=network, **options).run(folder(tmp_path, "alone"))

    arguments = [network, data, schedule(**options), None, 0, 1, "cpu"]
    ranks = run_ranks(2, train_on_rank, arguments, str(folder(tmp_path, "together")))

    assert comparable(ranks[0]) == comparable(ranks[1])
    together = weights(tmp_path / "together")
    for name, value in weights(tmp_path / "alone").items():
        torch.testing.assert_close(together[name], value, rtol=1e-4, atol=1e-6)
    assert ranks[0]["mIoU"] == pytest.approx(alone["mIoU"], abs=0.5)


@pytest.mark.slow
def test_ranks_resume_together(data: dict[str, Any], tmp_path: Path) -> None:
    arguments = [hrnet(), data, schedule(batch_size=4, iterations=4), None, 0, 1, "cpu"]
    folders = [str(folder(tmp_path, name)) for name in ("whole", "pieces")]

    [(whole, pieces), _] = run_ranks(2, train_whole_and_in_pieces_on_rank, arguments, *folders, 3)

    assert comparable(pieces) == comparable(whole)
    assert same(weights(tmp_path / "pieces"), weights(tmp_path / "whole"))
