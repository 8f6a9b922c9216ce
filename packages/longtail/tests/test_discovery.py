"""Discovery end to end on tiny scenes: what it leaves, that it goes on, what it shares, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("torchvision", reason="needs the discovery extra")
from small_discovery import options

from contrastbench.core.data.coco import read_results
from contrastbench.core.errors import InputError
from contrastbench.longtail import proposing
from contrastbench.longtail.contrast import ProposalImages, collate
from contrastbench.longtail.discovery import Discovery
from contrastbench.longtail.store import ProposalStore


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Draw the scenes once for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("CONTRASTBENCH_CACHE", str(folder))
        yield folder


def comparable(metrics: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from one run to the next."""
    return {name: value for name, value in metrics.items() if not name.endswith(("_seconds", "_bytes"))}


class InterruptError(Exception):
    pass


def stop_at(step: int) -> Any:
    def report(done: int, total: int) -> None:
        if done == step:
            raise InterruptError

    return report


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, dict[str, Any], list[tuple[int, int]]]:
    """Run without interruption: its folder, its metrics, what it reported."""
    run_dir, steps = tmp_path_factory.mktemp("whole") / "run", list[tuple[int, int]]()
    metrics = Discovery(**options()).run(run_dir, lambda done, total: steps.append((done, total)))
    return run_dir, metrics, steps


def test_it_runs_end_to_end(whole: Any) -> None:
    run_dir, metrics, steps = whole

    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert "categories of the long tail" in metrics["evaluation"]
    assert "AP_seg" in metrics
    assert metrics["clusters"] == 8
    assert metrics["discovered"] + metrics["discovered_known"] + metrics["novel"] == 8
    assert metrics["proposals"] > 8
    assert metrics["parts"] > 0
    assert 0 <= metrics["parts_farther"] <= 100
    assert metrics["without_anchors"] > 0  # some categories of these few scenes occur in validation alone
    assert metrics["counts"]["mask_triplets"] > 0
    done = [step for step, _ in steps]
    assert {total for _, total in steps} == {3 + 10 + 3 + 10}
    assert done == sorted(done)
    assert done[-1] == 26
    assert sorted(path.name for path in run_dir.iterdir()) == [
        "clusters.pth",
        "embedding.pth",
        "findings.json",
        "points.pth",
        "results.json",
    ]


def test_what_it_leaves_fits_together(whole: Any) -> None:
    run_dir, metrics, _ = whole
    experiment = Discovery(**options())
    found = json.loads((run_dir / "findings.json").read_text())
    points = torch.load(run_dir / "points.pth", weights_only=True)
    clusters = torch.load(run_dir / "clusters.pth", weights_only=True)

    assert len(found["labels"]) == len(found["purity"]) == len(clusters["centres"]) == 8
    assert len(found["true"]) == len(clusters["assignment"]) == len(points["train"]["points"]) == metrics["proposals"]
    store = experiment.store("train")
    of_images = [len(store.read(image["id"])) for image in experiment.ground.source.train["images"]]
    assert sum(of_images) == metrics["proposals"]
    assert points["train"]["places"].max() < max(of_images) <= 12
    known = {category["id"] for category in found["categories"] if category["known"]}
    results = read_results(run_dir / "results.json", experiment.ground.truth("val"))
    assert len(results) == metrics["detections"]
    labels = {found["categories"][label]["id"] for label in found["labels"] if label >= 0}
    assert {result["category_id"] for result in results} <= labels - known


# One step of the proposal network, some of its proposals, one step of the embedding, some embedded images.
@pytest.mark.parametrize("steps", [[1], [5], [14], [19], [2, 8, 15]])
def test_an_interrupted_run_ends_as_one_that_was_not(whole: Any, tmp_path: Path, steps: list[int]) -> None:
    change = {"shared": tmp_path / "shared", "schedule": {**options()["schedule"], "checkpoint_every": 1}}
    for step in steps:
        with pytest.raises(InterruptError):
            Discovery(**options(**change)).run(tmp_path / "run", stop_at(step))
    metrics = Discovery(**options(**change)).run(tmp_path / "run")

    assert comparable(metrics) == comparable(whole[1])
    assert (tmp_path / "run" / "results.json").read_bytes() == (whole[0] / "results.json").read_bytes()
    first, second = (torch.load(run / "points.pth", weights_only=True) for run in (tmp_path / "run", whole[0]))
    assert all(torch.equal(first[split]["points"], second[split]["points"]) for split in ("train", "val"))


def test_a_finished_run_is_not_run_again(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("contrastbench.longtail.stages.embed_proposals", never)
    monkeypatch.setattr("contrastbench.longtail.kmeans.HyperbolicKMeans.fit", never)
    monkeypatch.setattr("contrastbench.core.hosts.trainer.Trainer.train", never)

    assert comparable(Discovery(**options()).run(whole[0])) == comparable(whole[1])


def test_runs_that_differ_in_the_embedding_share_the_proposals(
    whole: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (cache / "longtail").rglob("*.json")}
    assert len(before) == 2 + 6 + 4  # what a network leaves, and its proposals for each image

    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("contrastbench.core.hosts.torchvision.proposing.propose", never)
    other = options(embedding={"space": "euclidean"}, losses={"hierarchical_weight": 0.0})
    metrics = Discovery(**other).run(tmp_path / "run")

    assert {path: path.stat().st_mtime_ns for path in (cache / "longtail").rglob("*.json")} == before
    assert metrics["recall"] == whole[1]["recall"]
    assert metrics["inertia"] != whole[1]["inertia"]


def test_other_networks_and_other_proposals_are_kept_apart(whole: Any) -> None:
    def folder(**change: Any) -> Path:
        return Discovery(**options(**change)).network.folder()

    own = folder()
    assert folder(proposals={"keep": 5}, training={"iterations": 9}) == own
    others = [
        folder(seed=1),
        folder(known=["hatchback", "pedestrian"]),
        folder(schedule={**options()["schedule"], "iterations": 4}),
        folder(network={**options()["network"], "width": 4}),
    ]
    assert len({own, *others}) == 5
    assert folder(seed=1, proposal_seed=0) == own
    stores = [Discovery(**options(proposals=p)).store("train").folder for p in ({"keep": 12}, {"keep": 5})]
    assert stores[0] == Discovery(**options()).store("train").folder != stores[1]
    assert Discovery(**options()).store("val").folder != stores[0]


def test_a_network_trained_on_other_data(tmp_path: Path) -> None:
    other = {"name": "scenes", "layout": "coco", "train": 6, "val": 4, "size": [64, 128]}
    metrics = Discovery(**options(pretraining=other, clustering={"k": [2, 4, 6]})).run(tmp_path)

    assert metrics["clusters"] in (2, 4, 6)


def test_no_proposal_anywhere_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Discovery(**options(shared=tmp_path / "shared"))
    height, width = 64, 128
    nothing = torch.zeros(0, height, width, dtype=torch.bool), torch.zeros(0, 4), torch.zeros(0)
    monkeypatch.setattr("contrastbench.core.hosts.torchvision.proposing.propose", lambda *_: [nothing])

    with pytest.raises(InputError, match="proposes nothing in any of the 6 training images"):
        experiment.run(tmp_path / "run")


def test_an_image_without_proposals_is_left_out_and_counted(whole: Any, tmp_path: Path) -> None:
    experiment = Discovery(**options(shared=tmp_path / "shared"))
    experiment.network.train()
    for split in ("train", "val"):
        first, *others = experiment.ground.source.ground_truth(split)["images"]
        made = experiment.store(split)
        made.write(first["id"], torch.zeros(0, 64, 128, dtype=torch.bool), torch.zeros(0, 4), torch.zeros(0))
        read = Discovery(**options()).store(split)
        for image in others[:-1]:
            proposals = read.read(image["id"])
            made.write(image["id"], proposals.masks(), proposals.boxes, proposals.scores)
        one = read.read(others[-1]["id"])  # and one with a single proposal
        made.write(others[-1]["id"], one.masks()[:1], one.boxes[:1], one.scores[:1])

    metrics = experiment.run(tmp_path / "run")

    assert metrics["skipped"] == 1
    assert metrics["proposals"] < whole[1]["proposals"]


def test_more_clusters_than_proposals_is_an_error_before_training(whole: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clustering.k is 1500, and the training images have \d+ proposals"):
        Discovery(**options(clustering={})).run(tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"proposals": {"kepp": 5}}, "unknown option of proposals 'kepp'; did you mean 'keep'"),
        ({"proposals": {"scores": "rank"}}, "did you mean 'rank_ramp'"),
        ({"proposals": {"nms": 0}}, "proposals.nms is 0"),
        ({"crops": {"sice": 5}}, "unknown option of crops 'sice'; did you mean 'size'"),
        ({"encoder": {"widht": 5}}, "did you mean 'width'"),
        ({"embedding": {"balldim": 5}}, "did you mean 'ball_dim'"),
        ({"triplets": {"negative": 5}}, "did you mean 'negatives'"),
        ({"losses": {"space": "euclidean"}}, "unknown option of losses 'space'"),
        ({"losses": {"margn": 0.1}}, "did you mean 'margin'"),
        ({"clustering": {"k": 0}}, "k is 0"),
        ({"clustering": {"restart": 2}}, "did you mean 'restarts'"),
        ({"labels": {"anchor": 2}}, "did you mean 'anchors'"),
        ({"labels": {"method": "gredy"}}, "did you mean 'greedy'"),
        ({"labels": {"anchors": 0}}, "labels.anchors is 0"),
        ({"training": {"iterations": 3, "flip": True}}, "training.flip is of no use"),
        ({"training": {}}, "lacks iterations"),
        ({"host": "torch_vision"}, "did you mean 'torchvision'"),
        ({"device": "tpu"}, "device is 'tpu'"),
    ],
)
def test_options_that_do_not_exist_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Discovery(**options(**change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"known": "all"}, "no long tail to discover"),
        ({"known": ["hatchbak"]}, "unknown category 'hatchbak'; did you mean 'hatchback'"),
        ({"known": ["clown"]}, "no image of val shows any of the 1 categories"),
        ({"data": {**options()["data"], "layout": "coco"}}, "selected by frequency, and these have none"),
    ],
)
def test_data_without_the_one_or_the_other_part_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Discovery(**options(**change)).fingerprint()


def test_it_runs_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="one process"):
        Discovery(**options()).run(tmp_path)


def test_the_same_image_is_not_twice_in_a_batch(tmp_path: Path) -> None:
    class Grey:
        images: list[Any] = [{"id": 5}, {"id": 7}, {"id": 9}]  # noqa: RUF012

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.zeros(3, 4, 4)

    store = ProposalStore(tmp_path, "key")
    for image in (5, 9):
        store.write(image, torch.ones(2, 4, 4, dtype=torch.bool), torch.zeros(2, 4), torch.zeros(2))
    images = ProposalImages(Grey(), store, [0, 2], batch_size=2)
    batch = collate([images[(6, 1)], images[(7, 0)], images[(8, 1)]])

    assert [int(target["image"]) for _, target in batch] == [2, 0]
    assert [int(target["step"]) for _, target in batch] == [4, 3]
    assert batch[1][1]["intersections"].tolist() == [[16, 16], [16, 16]]


def test_a_second_process_waits(tmp_path: Path) -> None:
    folder = tmp_path / "key"
    with proposing._alone(folder), proposing.FileLock(tmp_path / "other.lock"):
        lock = proposing.FileLock(tmp_path / "key.lock", is_singleton=False)
        with pytest.raises(TimeoutError):
            lock.acquire(timeout=0)
    with proposing._alone(folder):
        pass
