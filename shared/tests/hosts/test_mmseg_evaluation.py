from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmseg_ranks import train_on_rank
from small_data import write_camvid
from small_networks import deeplab, hrnet, mmseg_model, ocr

pytest.importorskip("mmseg", reason="needs the mmseg extra")
from mmengine import Config
from mmengine.dataset import pseudo_collate
from mmseg.models.segmentors.seg_tta import SegTTAModel
from mmseg.registry import MODELS
from seat_metrics import Count, FeatureSum
from torch import Tensor

from contrastbench.core.data.scenes import SceneSet, cached
from contrastbench.core.data.sources import camvid, cityscapes
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg import SemanticTraining
from contrastbench.core.hosts.mmseg.dataset import SourceDataset
from contrastbench.core.hosts.mmseg.evaluation import Evaluation, evaluate, results
from contrastbench.core.hosts.mmseg.inference import ONE_PASS, Passes, predict
from contrastbench.core.hosts.mmseg.transforms import PackEvaluated
from contrastbench.core.metrics import confusion
from contrastbench.core.testing.ranks import run_ranks

NETWORKS = {"hrnet": hrnet, "ocr": ocr, "deeplab": deeplab}
CPU = torch.device("cpu")
PAPER = Passes((0.75, 1.0, 1.25, 1.5, 1.75, 2.0), flip=True)
COUNT = {"type": "seat_metrics.Count"}

pytestmark = [
    pytest.mark.usefixtures("_mmseg_scope"),
    pytest.mark.filterwarnings("ignore:.*build_loss.* would be deprecated"),
    pytest.mark.filterwarnings("ignore:.*avg_non_ignore"),
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    return {"name": "camvid", "root": str(write_camvid(tmp_path / "camvid", val=3)), "size": [24, 32]}


@pytest.fixture
def val(data: dict[str, Any]) -> SourceDataset:
    return SourceDataset(camvid(data["root"]), "val", data["size"], [PackEvaluated()], test_mode=True)


def segmentor(network: str = "hrnet", seed: int = 0) -> Any:
    """A network of random weights whose predictions vary over the image."""
    parts = NETWORKS[network]()
    kind = "CascadeObjectiveSegmentor" if "num_stages" in parts else "ObjectiveSegmentor"
    torch.manual_seed(seed)
    model = MODELS.build(Config(mmseg_model(parts, 11, type=kind)))
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
    return model.eval()


def batch(val: SourceDataset, *indices: int) -> dict[str, Any]:
    collated: dict[str, Any] = pseudo_collate([val[i] for i in indices])
    return collated


def probabilities(model: Any, image: Tensor, resolution: tuple[int, int], scale: float, mirrored: bool) -> Tensor:
    """What one pass makes of one normalised image ``[1, 3, H, W]``, plainly."""
    height, width = (int(side * scale + 0.5) for side in image.shape[2:])
    image = F.interpolate(image, (height, width), mode="bilinear", align_corners=False) if scale != 1 else image
    image = image.flip(3) if mirrored else image
    logits = model(image, mode="tensor")
    logits = F.interpolate(logits, (height, width), mode="bilinear", align_corners=model.align_corners)
    logits = logits.flip(3) if mirrored else logits
    logits = F.interpolate(logits, resolution, mode="bilinear", align_corners=model.align_corners)
    return logits.softmax(1)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("passes", [PAPER, Passes((0.5, 1.0)), Passes((1.0,), flip=True), Passes((1.5,))])
def test_probabilities_are_averaged_as_in_a_plain_loop(network: str, passes: Passes, val: SourceDataset) -> None:
    model = segmentor(network)

    found, _ = predict(model, batch(val, 0, 1), passes)

    for index, prediction in enumerate(found):
        [image] = model.data_preprocessor(batch(val, index), False)["inputs"].split(1)
        flips = (False, True) if passes.flip else (False,)
        with torch.no_grad():
            parts = [probabilities(model, image, (24, 32), s, m) for s in passes.scales for m in flips]
        mean = torch.stack(parts).double().mean(0)[0]
        # Where two classes are equally likely to the last digits, either may be predicted.
        chosen = mean.gather(0, prediction[None])[0]
        torch.testing.assert_close(chosen, mean.max(0).values, rtol=1e-5, atol=1e-6)
        assert prediction.dtype == torch.int64
        assert len(prediction.unique()) > 1


@pytest.mark.filterwarnings("ignore:The shape of value will convert")
def test_flips_are_those_of_mmsegmentation(val: SourceDataset) -> None:
    model = segmentor()
    samples = [val[0]["data_samples"], val[0]["data_samples"]]
    samples[1].set_metainfo({"flip": True, "flip_direction": "horizontal"})
    image = val[0]["inputs"]
    theirs = SegTTAModel(module=model)
    with torch.no_grad():
        [merged_sample] = theirs.test_step(
            {"inputs": [[image], [image.flip(2)]], "data_samples": [[samples[0]], [samples[1]]]}
        )

    [ours], _ = predict(model, batch(val, 0), Passes((1.0,), flip=True))

    assert torch.equal(ours, merged_sample.pred_sem_seg.data.squeeze())


def test_with_flipping_a_mirrored_image_gives_the_mirrored_prediction(val: SourceDataset) -> None:
    model, passes = segmentor(), Passes((1.0,), flip=True)
    plain, mirrored = batch(val, 0), batch(val, 0)
    mirrored["inputs"] = [image.flip(2) for image in mirrored["inputs"]]

    [first], _ = predict(model, plain, passes)
    [second], _ = predict(model, mirrored, passes)
    [one], _ = predict(model, plain, ONE_PASS)
    [other], _ = predict(model, mirrored, ONE_PASS)

    assert torch.equal(first.flip(1), second)
    assert not torch.equal(one.flip(1), other)  # which it does not without


def test_one_pass_is_mmsegmentation_s_own(val: SourceDataset) -> None:
    model = segmentor()
    with torch.no_grad():
        samples = model.val_step(batch(val, 0, 1, 2))
    expected = sum(
        (confusion(s.pred_sem_seg.data, s.gt_sem_seg.data, 11, 255) for s in samples), torch.zeros(11, 11).long()
    )

    assert torch.equal(evaluate(model, val, 2, CPU, 0), expected)
    assert torch.equal(evaluate(model, val, 1, CPU, 0, Passes((1.0,))), expected)
    assert not torch.equal(evaluate(model, val, 1, CPU, 0, PAPER), expected)


@pytest.mark.parametrize("passes", [ONE_PASS, PAPER])
@pytest.mark.parametrize("network", NETWORKS)
def test_features_are_what_the_last_classifier_takes(network: str, passes: Passes, val: SourceDataset) -> None:
    model = segmentor(network)
    samples = batch(val, 0, 1)
    _, features = predict(model, samples, passes, with_features=True)

    head = model.decode_head[-1] if network == "ocr" else model.decode_head
    with torch.no_grad():
        logits = model(model.data_preprocessor(samples, False)["inputs"], mode="tensor")
        assert features is not None
        assert torch.allclose(head.conv_seg(features), logits, atol=1e-5)
    assert not head.conv_seg._forward_pre_hooks


def test_features_need_the_image_as_it_is(val: SourceDataset) -> None:
    with pytest.raises(InputError, match=r"add 1\.0 to evaluation\.scales"):
        predict(segmentor(), batch(val, 0), Passes((0.5, 2.0)), with_features=True)


def test_metrics_see_every_image_once_with_its_place(val: SourceDataset) -> None:
    count, features = Count(val.source.classes), FeatureSum(val.source.classes, 11, 255)

    matrix = evaluate(segmentor(), val, 2, CPU, 0, ONE_PASS, [count, features])

    [counted, featured] = results([count, features])
    assert counted["images_places"] == featured["featured_places"] == [0, 1, 2]
    assert counted["per_class"]["images_pixels"] == featured["per_class"]["featured_pixels"]
    assert sum(counted["per_class"]["images_pixels"].values()) == 3 * 24 * 32
    assert features.shapes == [(8, 6, 8)] * 3
    assert int(matrix.sum()) <= 3 * 24 * 32


@pytest.mark.parametrize("size", [None, [32, 64], [40, 100]])
def test_instances_come_with_the_labels(size: list[int] | None, tmp_path: Path, data: dict[str, Any]) -> None:
    source = cityscapes(cached(SceneSet(3, 1, 2, (64, 128)), "cityscapes"))
    dataset = SourceDataset(source, "val", size, [PackEvaluated()], test_mode=True, instances=True)

    for index in range(2):
        sample = dataset[index]["data_samples"]
        labels, instances = sample.gt_sem_seg.data[0], sample.instances.data[0]
        assert labels.shape == instances.shape == torch.Size(size or [64, 128])
        assert instances.dtype == torch.int32
        # The first digits of an instance id are the label id, and both maps are brought to size alike.
        label_ids = torch.where(instances >= 1000, instances // 1000, instances)
        assert torch.equal(torch.from_numpy(source.lookup())[label_ids.long()], labels)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (None, "single scale"),
        ({"flip": True}, "single scale with flipping"),
        ({"scales": [0.75, 1.0, 1.25, 1.5, 1.75, 2.0], "flip": True}, "scales 0.75 to 2.0 with flipping"),
        ({"scales": [2, 0.5]}, "scales 0.5 to 2.0"),
        ({"scales": [0.5]}, "scale 0.5"),
    ],
)
def test_passes_are_described(options: dict[str, Any] | None, text: str) -> None:
    assert str(Evaluation.read(options).passes) == text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": [1.0]}, "did you mean 'scales'"),
        ({"scales": []}, "different factors"),
        ({"scales": 2.0}, "different factors"),
        ({"scales": [1.0, 1]}, "different factors"),
        ({"scales": [0.0]}, "different factors"),
        ({"scales": [True]}, "different factors"),
        ({"flip": "yes"}, "evaluation.flip"),
        ({"metrics": COUNT}, "list of mappings"),
        ({"metrics": ["seat_metrics.Count"]}, "list of mappings"),
        ({"metrics": [{}]}, "a metric needs a 'type'"),
        ({"metrics": [{"type": "seat_metrics.Cuont"}]}, "did you mean 'Count'"),
        ({"metrics": [{"type": "seat_metrics.Count", "nmae": "x"}]}, "did you mean 'name'"),
        ({"metrics": [{"type": "seat_objectives.Identity"}]}, "unknown metric"),
        ({"metrics": [{"type": "collections.Counter"}]}, "Counter measures nothing"),
        ({"metrics": [COUNT, COUNT]}, "two metrics give 'images'"),
        ({"metrics": [{**COUNT, "name": "mIoU"}]}, "two metrics give 'mIoU'"),
        ({"metrics": [{"type": "seat_metrics.FeatureSum"}], "scales": [0.5]}, r"add 1\.0"),
        ({"metrics": [{"type": "seat_metrics.InstanceIds"}]}, "camvid has no maps of instance ids"),
    ],
)
def test_a_wrong_evaluation_is_refused_before_training(
    options: dict[str, Any], message: str, data: dict[str, Any], tmp_path: Path
) -> None:
    steps: list[int] = []

    with pytest.raises(InputError, match=message):
        training(data, options).run(folder(tmp_path, "run"), lambda done, total: steps.append(done))

    assert steps == []


def training(data: dict[str, Any], evaluation: dict[str, Any] | None, **options: Any) -> SemanticTraining:
    schedule = {"iterations": 2, "batch_size": 2, "optimizer": {"type": "AdamW", "lr": 0.002}, "checkpoint_every": 1}
    return SemanticTraining(
        hrnet(), data, {**schedule, **options}, seed=0, threads=1, device="cpu", evaluation=evaluation
    )


def folder(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir()
    return path


def comparable(metrics: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in metrics.items() if not k.endswith(("_seconds", "_bytes"))}


EVERYTHING = {
    "scales": [0.75, 1.0, 2.0],
    "flip": True,
    "metrics": [
        COUNT,
        {"type": "seat_metrics.FeatureSum"},
        {"type": "contrastbench.core.metrics.BoundaryMeanIoU", "radii": [1, 2]},
        {"type": "contrastbench.core.metrics.AlignmentUniformity", "samples": 10},
    ],
}


def test_a_run_reports_all_its_metrics(data: dict[str, Any], tmp_path: Path) -> None:
    plain = training(data, None).run(folder(tmp_path, "plain"))
    single = training(data, {"metrics": [COUNT]}).run(folder(tmp_path, "single"))
    several = training(data, EVERYTHING).run(folder(tmp_path, "several"))

    assert json.loads(json.dumps(several, allow_nan=False)) == several
    assert several["evaluation"] == "mIoU, scales 0.75 to 2.0 with flipping, 24x32; features of everything"
    assert several["images"] == several["featured"] == 3
    assert {"A", "U", "B_mIoU_1px"} <= several.keys()
    assert {"IoU", "accuracy", "images_pixels", "B_mIoU_2px", "A"} <= several["per_class"].keys()
    # What was there before is as it was.
    assert single["evaluation"] == plain["evaluation"] == "mIoU, single scale, 24x32"
    added = {"images", "images_places"}
    assert {k: v for k, v in comparable(single).items() if k not in {*added, "per_class"}} == {
        k: v for k, v in comparable(plain).items() if k != "per_class"
    }
    assert single["per_class"]["IoU"] == plain["per_class"]["IoU"]


class InterruptError(Exception):
    pass


def test_interrupted_and_resumed_is_undisturbed(data: dict[str, Any], tmp_path: Path) -> None:
    whole = training(data, EVERYTHING).run(folder(tmp_path, "whole"))
    pieces = folder(tmp_path, "pieces")

    def report(done: int, total: int) -> None:
        raise InterruptError

    with pytest.raises(InterruptError):
        training(data, EVERYTHING).run(pieces, report)

    assert comparable(training(data, EVERYTHING).run(pieces)) == comparable(whole)


def test_instances_reach_the_metrics_and_the_fingerprint(data: dict[str, Any], tmp_path: Path) -> None:
    towns = {"name": "scenes", "layout": "cityscapes", "seed": 3, "train": 2, "val": 2, "size": [64, 128]}
    metrics = [
        {"type": "seat_metrics.InstanceIds"},
        {"type": "contrastbench.core.metrics.InstanceIoU", "average_sizes": "measured"},
    ]
    experiment = training(towns, {"metrics": metrics}, crop=[32, 64])

    found = experiment.run(folder(tmp_path, "run"))

    assert any(value >= 24000 for value in found["ids"])
    assert found["iIoU"] is None or 0 <= found["iIoU"] <= 100
    assert experiment.fingerprint() != training(towns, None).fingerprint()


def test_images_of_different_sizes_train_and_are_evaluated(data: dict[str, Any], tmp_path: Path) -> None:
    from PIL import Image

    root = tmp_path / "mixed"
    sizes = [(24, 40), (40, 24), (33, 57)]
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 3), ("val", 2)):
        for part, shape in (("img_dir", (3,)), ("ann_dir", ())):
            (root / part / split).mkdir(parents=True)
            for i in range(count):
                values = torch.randint(0, 3, (*sizes[i], *shape), dtype=torch.uint8, generator=generator)
                Image.fromarray(values.numpy() * (60 if shape else 1)).save(root / part / split / f"{i}.png")
    mixed = {"name": "folder", "root": str(root), "classes": 3, "size": None}

    found = training(mixed, {"scales": [0.5, 1.0], "flip": True, "metrics": [COUNT]}, crop=[32, 32])

    metrics = found.run(folder(tmp_path, "run"))
    assert sum(metrics["per_class"]["images_pixels"].values()) == sum(h * w for h, w in sizes[:2])
    assert metrics["evaluation"] == "mIoU, scales 0.5 to 1.0 with flipping, the images' own size"
    with pytest.raises(InputError, match="val_batch_size=1"):
        training(mixed, None, crop=[32, 32], val_batch_size=2).run(folder(tmp_path, "batched"))


@pytest.mark.parametrize("layout", ["camvid", "ade20k", "pascal_context", "coco_stuff10k"])
def test_scenes_stand_in_for_data_that_are_not_there(layout: str, data: dict[str, Any], tmp_path: Path) -> None:
    drawn = {"name": "scenes", "layout": layout, "seed": 3, "train": 2, "val": 1, "size": [32, 64]}

    found = training(drawn, {"scales": [1.0, 1.5], "flip": True}).run(folder(tmp_path, "run"))

    assert found["evaluation"] == "mIoU, scales 1.0 to 1.5 with flipping, 32x64"
    assert found["per_class"]["IoU"]["fence"] is None or found["per_class"]["IoU"]["fence"] >= 0


@pytest.mark.slow
def test_ranks_report_what_one_reports(data: dict[str, Any], tmp_path: Path) -> None:
    schedule = {"iterations": 1, "batch_size": 2, "optimizer": {"type": "SGD", "lr": 0.0}}
    network = {**hrnet(), "norm_cfg": {"type": "GN", "num_groups": 2}}
    arguments = [network, data, schedule, None, 0, 1, "cpu", EVERYTHING]
    alone = train_on_rank(arguments, str(folder(tmp_path, "alone")))

    ranks = run_ranks(2, train_on_rank, arguments, str(folder(tmp_path, "together")))

    assert comparable(ranks[0]) == comparable(ranks[1])
    for key in ("mIoU", "images", "images_places", "B_mIoU_1px", "A", "evaluation", "per_class"):
        assert ranks[0][key] == alone[key], key
    assert ranks[0]["feature_sum"] == pytest.approx(alone["feature_sum"])
    assert ranks[0]["U"] == pytest.approx(alone["U"])
