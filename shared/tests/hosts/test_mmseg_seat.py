from __future__ import annotations

from typing import Any

import pytest
import torch
from small_networks import deeplab, hrnet, mmseg_model, ocr

pytest.importorskip("mmseg", reason="needs the mmseg extra")
from mmengine import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg import NonFiniteLossError, exported_state

CLASSES = 5
SEATS = {"EncoderDecoder": "ObjectiveSegmentor", "CascadeEncoderDecoder": "CascadeObjectiveSegmentor"}
NETWORKS = {"hrnet": hrnet, "ocr": ocr, "deeplab": deeplab}

pytestmark = [
    pytest.mark.usefixtures("_mmseg_scope"),
    pytest.mark.filterwarnings("ignore:.*build_loss.* would be deprecated"),
    pytest.mark.filterwarnings("ignore:.*avg_non_ignore"),
]


def build(network: str, seated: bool = True, seed: int = 0, **extra: Any) -> Any:
    parts = NETWORKS[network]()
    plain = "CascadeEncoderDecoder" if "num_stages" in parts else "EncoderDecoder"
    torch.manual_seed(seed)
    config = mmseg_model(parts, CLASSES, type=SEATS[plain] if seated else plain, **extra)
    return MODELS.build(Config(config))


def objective(name: str, **options: Any) -> dict[str, Any]:
    return {"type": f"seat_objectives.{name}", "num_images": 10, **options}


def batch(generator: torch.Generator, images: int = 2, side: int = 32) -> tuple[torch.Tensor, list[Any]]:
    samples = []
    for index in range(images):
        labels = torch.randint(0, CLASSES, (1, side, side), generator=generator)
        shape = {"ori_shape": (side, side), "img_shape": (side, side)}
        sample = SegDataSample(metainfo={**shape, "sample_idx": 3 * index})
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return torch.randn(images, 3, side, side, generator=generator), samples


@pytest.mark.parametrize(("network", "channels", "stride"), [("hrnet", 24, 4), ("ocr", 24, 4), ("deeplab", 64, 8)])
def test_objective_sees_what_the_last_head_works_on(
    network: str, channels: int, stride: int, generator: torch.Generator
) -> None:
    model = build(network, objective=objective("Recorder"))
    images, samples = batch(generator)

    model.loss(images, samples)

    assert model.objective.given == ((channels,), CLASSES, 10, 255)
    [(features, logits, labels, index)] = model.objective.calls
    assert [tuple(feature.shape) for feature in features] == [(2, channels, 32 // stride, 32 // stride)]
    assert logits.shape[:2] == (2, CLASSES)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, torch.cat([sample.gt_sem_seg.data for sample in samples]))
    assert index.tolist() == [0, 3]


def test_logits_are_the_head_s_own_on_the_tapped_features(generator: torch.Generator) -> None:
    model = build("hrnet", objective=objective("Recorder"))
    images, samples = batch(generator)
    model.decode_head.eval()
    model.decode_head.dropout = None

    model.loss(images, samples)

    [(features, logits, _, _)] = model.objective.calls
    expected = model.decode_head.conv_seg(model.decode_head.convs(features[0]))
    assert torch.equal(logits, expected)


def test_taps_may_be_outputs_of_the_backbone(generator: torch.Generator) -> None:
    model = build("hrnet", objective=objective("Recorder"), taps=[0, 3])
    model.loss(*batch(generator))

    assert model.objective.given[0] == (4, 8)
    [(features, _, _, _)] = model.objective.calls
    assert [tuple(feature.shape) for feature in features] == [(2, 4, 8, 8), (2, 8, 1, 1)]


LAYERS = ["backbone.layer1", "backbone.layer2", "backbone.layer3", "backbone.layer4"]


def test_taps_may_be_modules_by_name(generator: torch.Generator) -> None:
    named = build("deeplab", objective=objective("Recorder"), taps=LAYERS)
    indexed = build("deeplab", objective=objective("Recorder"), taps=[0, 1, 2, 3])
    images, samples = batch(generator)
    torch.manual_seed(1)  # of the dropout
    named_losses = named.loss(images, samples)
    torch.manual_seed(1)
    indexed_losses = indexed.loss(images, samples)

    assert named.objective.given[0] == indexed.objective.given[0] == (8, 16, 32, 64)
    [(first, _, _, _)], [(second, _, _, _)] = named.objective.calls, indexed.objective.calls
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(value, indexed_losses[name]) for name, value in named_losses.items())
    assert first[0].requires_grad


def test_taps_by_name_keep_their_order_and_may_be_in_the_head(generator: torch.Generator) -> None:
    model = build("deeplab", objective=objective("Recorder"), taps=["decode_head.bottleneck", "backbone.layer1.0"])
    model.loss(*batch(generator))

    [(features, _, _, _)] = model.objective.calls
    assert model.objective.given[0] == tuple(feature.shape[1] for feature in features) == (8, 8)
    assert [feature.shape[2] for feature in features] == [4, 8]


def test_taps_by_name_are_of_training_only(generator: torch.Generator) -> None:
    model = build("deeplab", objective=objective("Recorder"), taps=LAYERS)
    images, samples = batch(generator)
    model.loss(images, samples)
    model.eval()
    model.predict(images, samples)

    assert len(model.objective.calls) == 1
    assert not any(module._forward_hooks for module in model.modules())


def test_same_weights_whatever_is_tapped() -> None:
    states = []
    for taps in (LAYERS, [0], "decode_input"):
        model = build("deeplab", objective=objective("Compact"), taps=taps)
        model.init_weights()
        states.append(exported_state(model))

    assert all(torch.equal(states[0][name], state[name]) for state in states for name in states[0])


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (["backbone.layr1"], r"did you mean .*'backbone\.layer1'"),
        (["backbone"], r"'backbone' gives no feature map"),
        (["auxiliary_head.conv_seg"], "takes no part in a pass"),
        (["backbone.layer1", 3], "list of names of modules"),
        ([""], "unknown module"),
    ],
)
def test_wrong_names_of_taps_are_explained(taps: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build("deeplab", objective=objective("Recorder"), taps=taps)


def test_head_runs_once_a_step(generator: torch.Generator) -> None:
    model = build("hrnet", objective=objective("Recorder"))
    runs: list[int] = []
    model.decode_head.register_forward_hook(lambda *_: runs.append(1))
    model.decode_head.conv_seg.register_forward_hook(lambda *_: runs.append(1))

    model.loss(*batch(generator))

    assert len(runs) == 1  # the head's own forward is called directly by mmseg, its last layer once


def test_losses_add_up_and_counts_do_not(generator: torch.Generator) -> None:
    model = build("hrnet", objective=objective("Compact", weight=7.0))
    losses = model.loss(*batch(generator))

    total, logged = model.parse_losses(losses)

    assert logged["objective.steps"] == 1
    expected = losses["decode.loss_ce"] + losses["objective.loss_compact"]
    assert total.item() == pytest.approx(expected.item())
    total.backward()
    assert model.objective.projection.weight.grad.abs().sum() > 0
    assert not model.objective.mean.requires_grad


@pytest.mark.parametrize("network", NETWORKS)
def test_same_weights_with_and_without_objective(network: str) -> None:
    states = []
    for options in ({"objective": objective("Compact")}, {}, {"seated": False}):
        model = build(network, **options)
        model.init_weights()
        states.append(exported_state(model))

    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(states[0][name], value) for name, value in state.items())


@pytest.mark.parametrize("network", NETWORKS)
def test_exported_weights_are_a_plain_model_s(network: str, generator: torch.Generator) -> None:
    model = build(network, objective=objective("Compact"))
    images, samples = batch(generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model.parse_losses(model.loss(images, samples))[0].backward()
        optimizer.step()
    plain = build(network, seated=False, seed=1)

    assert exported_state(model).keys() == plain.state_dict().keys()
    plain.load_state_dict(exported_state(model), strict=True)

    model.eval()
    plain.eval()
    with torch.no_grad():
        assert torch.equal(model(images, mode="tensor"), plain(images, mode="tensor"))
        ours, theirs = model.predict(images, samples), plain.predict(images, samples)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine.seg_logits.data, other.seg_logits.data)


def test_inference_does_not_touch_the_objective(generator: torch.Generator) -> None:
    model = build("hrnet", objective=objective("Recorder")).eval()
    images, samples = batch(generator)

    model.predict(images, samples)
    model(images, mode="tensor")

    assert model.objective.calls == []


def test_a_loss_that_is_no_number_stops_before_the_step(generator: torch.Generator) -> None:
    model = build("hrnet", objective=objective("Poison"))
    images, samples = batch(generator)
    for _ in range(2):
        model.loss(images, samples)

    with pytest.raises(NonFiniteLossError, match=r"step \d+: objective\.loss_compact is nan \(its inputs are finite\)"):
        model.loss(images, samples)


def test_features_that_are_no_numbers_are_named(generator: torch.Generator) -> None:
    model = build("hrnet", objective=objective("Compact"))
    images, samples = batch(generator)
    images[0, 0, 0, 0] = float("inf")

    with pytest.raises(NonFiniteLossError, match=r"decode\.loss_ce is nan.*features\[0\] and logits not finite"):
        model.loss(images, samples)


def test_the_baseline_stops_too(generator: torch.Generator) -> None:
    images, samples = batch(generator)

    with pytest.raises(NonFiniteLossError, match=r"decode\.loss_ce is nan"):
        build("hrnet").loss(images * float("nan"), samples)


def test_samples_without_their_index_are_explained(generator: torch.Generator) -> None:
    model = build("hrnet", objective=objective("Recorder"))
    images, samples = batch(generator)
    samples = [SegDataSample(gt_sem_seg=sample.gt_sem_seg) for sample in samples]

    with pytest.raises(InputError, match=r"PackSegInputs.*meta_keys=.*'sample_idx'"):
        model.loss(images, samples)


def test_index_beyond_the_number_of_images_is_refused(generator: torch.Generator) -> None:
    model = build("hrnet", objective={**objective("Recorder"), "num_images": 2})

    with pytest.raises(InputError, match="image 3 was met and the objective's num_images is 2"):
        model.loss(*batch(generator))


def test_a_count_that_would_be_added_to_the_loss_is_refused(generator: torch.Generator) -> None:
    model = build("hrnet", objective=objective("Misnamed"))

    with pytest.raises(InputError, match="number_of_losses"):
        model.loss(*batch(generator))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "seat_objectives.Compat"}, "did you mean 'Compact'"),
        ({"type": "seat_objectivs.Compact"}, "no module 'seat_objectivs'"),
        ({"type": "Compact"}, "not a dotted path"),
        ({"num_images": 3}, "needs a 'type'"),
        ({"type": "seat_objectives.Compact"}, "needs num_images.*number of training images"),
        ({"type": "seat_objectives.Compact", "num_images": 3, "wieght": 1}, "did you mean 'weight'"),
        ({"type": "builtins.dict", "num_images": 3}, "nn.Module"),
    ],
)
def test_wrong_objectives_are_explained(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build("hrnet", objective=config)


@pytest.mark.parametrize("taps", ["backbone", [], [4]])
def test_wrong_taps_are_explained(taps: Any) -> None:
    with pytest.raises(InputError, match="taps"):
        build("hrnet", objective=objective("Recorder"), taps=taps)
