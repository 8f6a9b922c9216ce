from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

pytest.importorskip("torchvision", reason="needs the torchvision extra")
from mask_objectives import ClashingMask, CompactMask, MaskRecorder
from small_instances import batch, slim
from torchvision.models.detection import fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn, roi_heads

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.torchvision import build_mask_rcnn, exported_state, fit_mask_objective, seat

CLASSES = 2


def build(objective: str | None = None, seed: int = 0, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_mask_rcnn(slim(), CLASSES)
        if objective is not None:
            fit_mask_objective(model, {"type": f"mask_objectives.{objective}", **options})
    return model


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(losses.values())).sum()


@pytest.fixture(autouse=True)
def _own_generator() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_objective_sees_the_input_of_the_last_layer(generator: torch.Generator) -> None:
    model, inputs = build("MaskRecorder"), list[torch.Tensor]()
    model.roi_heads.mask_predictor.mask_fcn_logits.register_forward_hook(
        lambda layer, given, out: inputs.append(*given)
    )

    model(*batch(generator))

    assert model.objective.given == (12, CLASSES)
    [(features, masks, classes, images)] = model.objective.calls
    [expected] = inputs  # the layer ran once
    assert features is expected
    assert features.shape == (len(masks), 12, 28, 28)
    assert masks.shape == (len(masks), 28, 28)
    assert len(masks) >= 3  # torchvision always proposes the annotated boxes too
    assert (masks.dtype, classes.dtype, images.dtype) == (torch.bool, torch.int64, torch.int64)
    assert classes.shape == images.shape == (len(masks),)


def test_masks_are_those_that_torchvision_trains_on(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, trained_on = roi_heads.project_masks_on_boxes, list[torch.Tensor]()

    def recorded(*arguments: Any) -> torch.Tensor:
        trained_on.append(project(*arguments))
        return trained_on[-1]

    model = build("MaskRecorder")
    monkeypatch.setattr(roi_heads, "project_masks_on_boxes", recorded)
    model(*batch(generator, (3, 1, 2)))

    [(_, masks, _, images)] = model.objective.calls
    assert torch.equal(masks, torch.cat(trained_on) >= 0.5)
    assert masks.any()
    assert not masks.all()
    assert images.tolist() == [place for place, part in enumerate(trained_on) for _ in part]


def test_classes_begin_at_zero(generator: torch.Generator) -> None:
    model = build("MaskRecorder")
    images, targets = batch(generator, (2, 2))
    for target, label in zip(targets, (1, 2), strict=True):
        target["labels"][:] = label

    model(images, targets)

    [(_, _, classes, images_of)] = model.objective.calls
    assert torch.equal(classes, images_of)


def test_images_count_over_the_ranks(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat, "rank", lambda: 3)
    model = build("MaskRecorder")

    model(*batch(generator))

    assert set(model.objective.calls[0][3].tolist()) == {6, 7}


@pytest.mark.parametrize("instances", [(0, 0), (0, 2)])
def test_images_without_instances(generator: torch.Generator, instances: tuple[int, int]) -> None:
    model = build("CompactMask")

    total(model(*batch(generator, instances))).backward()

    assert (model.objective_counts["rois"] == 0) == (sum(instances) == 0)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


def test_losses_join_and_counts_do_not(generator: torch.Generator) -> None:
    model, plain = build("CompactMask", weight=7.0), build()
    images, targets = batch(generator)

    torch.manual_seed(1)
    losses = model(images, targets)
    torch.manual_seed(1)
    expected = plain(images, targets)

    assert losses.keys() - expected.keys() == {"loss_compact"}
    assert all(torch.equal(losses[name], value) for name, value in expected.items())
    assert {name: int(value) for name, value in model.objective_counts.items()} == {
        "steps": 1,
        "rois": model.objective_counts["rois"],
    }
    losses["loss_compact"].backward()
    assert model.objective.projection.weight.grad.abs().sum() > 0
    assert model.roi_heads.mask_head[0][0].weight.grad.abs().sum() > 0
    assert model.backbone.body.conv1.weight.grad.abs().sum() > 0


def test_counts_are_of_the_last_step(generator: torch.Generator) -> None:
    model = build("CompactMask")
    for _ in range(2):
        model(*batch(generator))

    assert int(model.objective_counts["steps"]) == 2


def test_same_weights_with_and_without_objective() -> None:
    states = [exported_state(build(name)) for name in ("CompactMask", None)]
    states.append(build().state_dict())

    for state in states[1:]:
        assert list(state) == list(states[0])
        assert all(torch.equal(states[0][name], value) for name, value in state.items())


def test_building_an_objective_draws_nothing_from_the_generator() -> None:
    plain, model = build(), build()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit_mask_objective(model, {"type": "mask_objectives.CompactMask"})

    assert torch.equal(torch.rand(1), expected)
    assert model.objective.projection.in_channels == 12
    assert list(plain.state_dict()) == list(exported_state(model))


def test_exported_weights_are_a_plain_model_s(generator: torch.Generator) -> None:
    model = build("CompactMask")
    images, targets = batch(generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        total(model(images, targets)).backward()
        optimizer.step()
    plain = build(seed=1)

    plain.load_state_dict(exported_state(model), strict=True)

    model.eval()
    plain.eval()
    model.roi_heads.score_thresh = plain.roi_heads.score_thresh = 0.0
    with torch.no_grad():
        for mine, other in zip(model(images), plain(images), strict=True):
            assert len(mine["scores"])
            assert mine.keys() == other.keys()
            assert all(torch.equal(value, other[name]) for name, value in mine.items())


def test_inference_does_not_touch_the_objective(generator: torch.Generator) -> None:
    model = build("MaskRecorder").eval()

    model(batch(generator)[0])

    assert model.objective.calls == []
    assert model.objective_counts == {}


def test_a_copy_has_an_objective_of_its_own(generator: torch.Generator) -> None:
    model = build("CompactMask")
    twin = copy.deepcopy(model)
    for _ in range(2):
        twin(*batch(generator))

    assert int(twin.objective.step) == int(twin.objective_counts["steps"]) == 2
    assert int(model.objective.step) == 0
    assert model.objective_counts == {}


def test_takes_an_objective_that_is_built(generator: torch.Generator) -> None:
    model = build()
    objective = CompactMask(12, CLASSES)

    assert fit_mask_objective(model, objective) is model

    assert model.objective is objective
    assert "loss_compact" in model(*batch(generator))


def test_torchvision_s_own_model(generator: torch.Generator) -> None:
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=64)
    fit_mask_objective(model, MaskRecorder(256, 2))

    losses = model(*batch(generator, (1,)))

    assert "loss_none" in losses
    [(features, masks, _, _)] = model.objective.calls
    assert features.shape == (len(masks), 256, 28, 28)


def test_a_model_without_a_mask_head_is_refused() -> None:
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)

    with pytest.raises(InputError, match=r"FasterRCNN has no mask head.*maskrcnn_resnet50_fpn"):
        fit_mask_objective(model, MaskRecorder(256, 90))
    with pytest.raises(InputError, match="Linear has no mask head"):
        fit_mask_objective(torch.nn.Linear(1, 1), MaskRecorder(256, 90))


def test_a_second_objective_is_refused() -> None:
    with pytest.raises(InputError, match="has an objective already"):
        fit_mask_objective(build("CompactMask"), MaskRecorder(12, CLASSES))


def test_a_loss_of_the_model_s_own_name_is_refused(generator: torch.Generator) -> None:
    model = fit_mask_objective(build(), ClashingMask(12, CLASSES))

    with pytest.raises(InputError, match="'loss_mask'"):
        model(*batch(generator))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "mask_objectives.CompactMsk"}, "did you mean 'CompactMask'"),
        ({"weight": 3}, "needs a 'type'"),
        ({"type": "mask_objectives.CompactMask", "wieght": 1}, "did you mean 'weight'"),
    ],
)
def test_wrong_objectives_are_explained(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_mask_objective(build(), config)
