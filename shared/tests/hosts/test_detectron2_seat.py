from __future__ import annotations

import copy
from typing import Any

import pytest
import small_instances
import torch

pytest.importorskip("detectron2", reason="detectron2 is not installed; see the detectron2 extra")
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import mask_head
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage
from mask_objectives import CompactMask
from small_detectron2 import WARNINGS, batch, rectangles, slim

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.detectron2 import NonFiniteLossError, ObjectiveMaskHead, exported_state, seat
from contrastbench.core.hosts.detectron2.network import build_network, configure
from contrastbench.core.hosts.torchvision import build_mask_rcnn, fit_mask_objective

pytestmark = [pytest.mark.detectron2, *WARNINGS]

CLASSES = 2


def build(objective: str | None = None, seed: int = 0, **options: Any) -> Any:
    named = None if objective is None else {"type": f"mask_objectives.{objective}", **options}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network(configure(slim(), named, CLASSES))


def objective_of(model: Any) -> Any:
    return model.roi_heads.mask_head.objective


def step(model: Any, samples: list[dict[str, Any]], seed: int = 1) -> tuple[dict[str, torch.Tensor], EventStorage]:
    torch.manual_seed(seed)
    with EventStorage() as storage:
        losses: dict[str, torch.Tensor] = model(samples)
    return losses, storage


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(losses.values())).sum()


def head(objective: Any = "mask_objectives.MaskRecorder", **options: Any) -> ObjectiveMaskHead:
    named = {"type": objective} if isinstance(objective, str) else objective
    shape = ShapeSpec(channels=6, height=14, width=14)
    return ObjectiveMaskHead(shape, num_classes=3, conv_dims=[8, 10], objective=named, **options)


def proposals(counts: tuple[int, ...], generator: torch.Generator, polygons: bool = False) -> list[Instances]:
    """Foreground RoIs: annotated rectangles, the boxes a few pixels off."""
    images = []
    for count in counts:
        boxes, masks = rectangles(count, 64, generator)
        image = Instances((64, 64), proposal_boxes=Boxes(boxes + torch.rand(boxes.shape, generator=generator) * 4 - 2))
        image.gt_classes = torch.randint(0, 3, (count,), generator=generator)
        if polygons:
            corners = [[[b[0], b[1], b[2], b[1], b[2], b[3], b[0], b[3]]] for b in boxes.tolist()]
            image.gt_masks = PolygonMasks(corners)
        elif count:
            image.gt_masks = BitMasks(masks)
        images.append(image)
    return images


@pytest.fixture(autouse=True)
def _own_generator() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("polygons", [False, True])
def test_objective_sees_the_input_of_the_last_layer_and_the_mask_loss_s_own_targets(
    generator: torch.Generator, polygons: bool
) -> None:
    tested, images = head(), proposals((2, 0, 3), generator, polygons)
    pooled = torch.randn(5, 6, 14, 14, generator=generator)
    inputs = list[torch.Tensor]()
    tested.predictor.register_forward_hook(lambda layer, given, out: inputs.append(given[0]))

    with EventStorage():
        losses = tested(pooled, images)

    assert tested.objective.given == (10, 3)
    [(features, masks, classes, places)] = tested.objective.calls
    [expected] = inputs  # the layer ran once
    assert features is expected
    assert features.shape == (5, 10, 28, 28)
    cropped = [i.gt_masks.crop_and_resize(i.proposal_boxes.tensor, 28) for i in images if len(i)]
    assert torch.equal(masks, torch.cat(cropped))
    assert masks.dtype == torch.bool
    assert masks.any()
    assert not masks.all()
    assert torch.equal(classes, torch.cat([i.gt_classes for i in images]))
    assert places.tolist() == [0, 0, 2, 2, 2]
    assert losses["objective.loss_none"] == 0


def test_the_mask_loss_is_detectron2_s(generator: torch.Generator) -> None:
    tested, images = head(), proposals((2, 3), generator)
    pooled = torch.randn(5, 6, 14, 14, generator=generator)
    plain = mask_head.MaskRCNNConvUpsampleHead(ShapeSpec(channels=6), num_classes=3, conv_dims=[8, 10])
    plain.load_state_dict(exported_state(tested), strict=True)

    with EventStorage() as storage:
        losses = tested(pooled, images)
    with EventStorage() as expected_storage:
        expected = plain(pooled, images)

    assert torch.equal(losses["loss_mask"], expected["loss_mask"])
    for name, value in expected_storage.latest().items():
        assert storage.latest()[name] == value


def test_masks_are_cropped_once(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, crop = list[int](), BitMasks.crop_and_resize

    def counted(self: BitMasks, boxes: torch.Tensor, size: int) -> torch.Tensor:
        calls.append(len(boxes))
        return crop(self, boxes, size)

    monkeypatch.setattr(BitMasks, "crop_and_resize", counted)
    with EventStorage():
        head()(torch.randn(5, 6, 14, 14), proposals((2, 3), generator))

    assert calls == [2, 3]


@pytest.mark.parametrize("counts", [(0,), (0, 0), ()])
def test_no_roi_at_all(counts: tuple[int, ...], generator: torch.Generator) -> None:
    tested = head("mask_objectives.CompactMask")
    with EventStorage() as storage:
        losses = tested(torch.randn(0, 6, 14, 14), proposals(counts, generator))
    total(losses).backward()

    assert total(losses) == 0
    assert storage.latest()["objective.rois"][0] == 0
    assert all(parameter.grad is not None for parameter in tested.parameters())


def test_images_count_over_the_ranks(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat, "rank", lambda: 3)
    tested = head()
    with EventStorage():
        tested(torch.randn(2, 6, 14, 14), proposals((1, 1), generator))

    assert tested.objective.calls[0][3].tolist() == [6, 7]


def test_masks_that_do_not_depend_on_the_class(generator: torch.Generator) -> None:
    shape = ShapeSpec(channels=6, height=14, width=14)
    recorder = {"type": "mask_objectives.MaskRecorder"}
    tested = ObjectiveMaskHead(shape, num_classes=1, conv_dims=[8, 10], objective=recorder, objective_classes=3)
    images = proposals((4,), generator)
    with EventStorage():
        tested(torch.randn(4, 6, 14, 14), images)

    assert tested.objective.given == (10, 3)
    assert torch.equal(tested.objective.calls[0][2], images[0].gt_classes)


def test_losses_join_and_counts_are_stored(generator: torch.Generator) -> None:
    samples = batch(generator)
    model, plain = build("CompactMask", weight=7.0), build()

    losses, storage = step(model, samples)
    expected, _ = step(plain, samples)

    assert losses.keys() - expected.keys() == {"objective.loss_compact"}
    assert all(torch.equal(losses[name], value) for name, value in expected.items())
    assert storage.latest()["objective.steps"] == (1.0, 0)
    assert storage.latest()["objective.rois"][0] > 0
    losses["objective.loss_compact"].backward()
    for weight in (
        objective_of(model).projection.weight,
        model.roi_heads.mask_head.deconv.weight,
        model.backbone.bottom_up.stem.conv1.weight,
    ):
        assert weight.grad.abs().sum() > 0
    assert model.roi_heads.mask_head.predictor.weight.grad is None


@pytest.mark.parametrize("instances", [(0, 0), (0, 2)])
def test_images_without_instances(generator: torch.Generator, instances: tuple[int, int]) -> None:
    model = build("CompactMask")

    losses, storage = step(model, batch(generator, instances))
    total(losses).backward()

    assert (storage.latest()["objective.rois"][0] == 0) == (sum(instances) == 0)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_same_weights_with_and_without_objective() -> None:
    states = [exported_state(build("CompactMask")), build().state_dict(), exported_state(build())]

    for state in states[1:]:
        assert list(state) == list(states[0])
        assert all(torch.equal(states[0][name], value) for name, value in state.items())


def test_exported_weights_are_a_plain_model_s(generator: torch.Generator) -> None:
    model, samples = build("CompactMask"), batch(generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = objective_of(model).projection.weight.clone()
    for seed in range(2):
        total(step(model, samples, seed)[0]).backward()
        optimizer.step()
    plain = build(seed=1)

    plain.load_state_dict(exported_state(model), strict=True)

    assert not torch.equal(objective_of(model).projection.weight, before)
    assert set(model.state_dict()) - set(exported_state(model)) == {
        f"roi_heads.mask_head.objective.{name}" for name in objective_of(model).state_dict()
    }
    model.eval()
    plain.eval()
    model.roi_heads.box_predictor.test_score_thresh = plain.roi_heads.box_predictor.test_score_thresh = 0.0
    with torch.no_grad():
        for mine, other in zip(model(samples), plain(samples), strict=True):
            found, expected = mine["instances"].get_fields(), other["instances"].get_fields()
            assert len(found["scores"])
            assert found.keys() == expected.keys() >= {"pred_masks", "scores"}
            assert torch.equal(found["pred_boxes"].tensor, expected["pred_boxes"].tensor)
            assert all(torch.equal(found[name], expected[name]) for name in found if name != "pred_boxes")


def test_inference_does_not_touch_the_objective(generator: torch.Generator) -> None:
    model = build("MaskRecorder").eval()
    with torch.no_grad():
        model(batch(generator))

    assert objective_of(model).calls == []


def test_takes_an_objective_that_is_built(generator: torch.Generator) -> None:
    objective = CompactMask(10, 3)
    tested = head(objective)
    with EventStorage():
        losses = tested(torch.randn(2, 6, 14, 14), proposals((2,), generator))

    assert tested.objective is objective
    assert "objective.loss_compact" in losses


def test_a_head_without_an_objective_is_plain(generator: torch.Generator) -> None:
    tested = head(None)
    with EventStorage():
        losses = tested(torch.randn(2, 6, 14, 14), proposals((2,), generator))

    assert list(losses) == ["loss_mask"]


def test_a_loss_that_is_no_number_is_named(generator: torch.Generator) -> None:
    tested, images = head("mask_objectives.PoisonMask"), proposals((2,), generator)
    pooled = torch.randn(2, 6, 14, 14)
    with EventStorage(7):
        for _ in range(2):
            tested(pooled, images)
        with pytest.raises(NonFiniteLossError, match=r"step 8: objective\.loss_compact is nan"):
            tested(pooled, images)
    tested = head("mask_objectives.CompactMask")
    with EventStorage(), pytest.raises(NonFiniteLossError, match="features not finite before it"):
        tested(pooled * float("inf"), images)


class Given:
    """Masks within boxes that are given, whatever boxes are asked for."""

    def __init__(self, masks: torch.Tensor) -> None:
        self.masks = masks

    def __len__(self) -> int:
        return len(self.masks)

    def crop_and_resize(self, boxes: torch.Tensor, size: int) -> torch.Tensor:
        return self.masks


def test_both_hosts_give_the_same_loss(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What torchvision's seat saw, seen through detectron2's."""
    objective, seen = CompactMask(12, CLASSES), list[tuple[torch.Tensor, ...]]()
    twin = copy.deepcopy(objective)
    objective.register_forward_pre_hook(lambda module, given: seen.append(given))
    other = fit_mask_objective(build_mask_rcnn(small_instances.slim(), CLASSES), objective)
    expected = other(*small_instances.batch(generator))["loss_compact"]
    [(features, masks, classes, places)] = seen

    images = []
    for place in range(2):
        own = places == place
        boxes = Boxes(torch.zeros(int(own.sum()), 4))
        images.append(Instances((64, 64), proposal_boxes=boxes, gt_classes=classes[own], gt_masks=Given(masks[own])))
    shape = ShapeSpec(channels=6, height=14, width=14)
    tested = ObjectiveMaskHead(shape, num_classes=CLASSES, conv_dims=[8, 12], objective=twin)
    monkeypatch.setattr(tested, "_features", lambda pooled: features.detach())
    with EventStorage():
        losses = tested(torch.empty(0), images)

    assert expected > 0
    assert torch.equal(losses["objective.loss_compact"], expected)


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
        head(config)
