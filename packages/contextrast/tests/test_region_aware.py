import pytest
import torch
from baseline_problem import CHANNELS, CLASSES, objective, step_inputs, train_each
from torch.nn import functional as F

from contrastbench.contextrast.baselines import RegionAwareContrast
from contrastbench.core.errors import InputError
from contrastbench.core.testing import assert_close, loop_infonce, run_ranks

CHOICES = [{}, {"centres": "predicted"}, {"auxiliary_weight": 0.4}]


def loop_centres(module, features, logits, labels, centres):
    """The centres of a step as (class, vector), image after image and class after class."""
    feature = features[-1]
    found = []
    scores = F.interpolate(logits, size=feature.shape[-2:], mode="bilinear")
    for b in range(len(feature)):
        members: dict[int, list] = {}
        for y in range(2):
            for x in range(3):
                true = int(labels[b, 16 * y, 16 * x])
                if true != 255:
                    kind = true if centres == "ground_truth" else int(scores[b, :, y, x].argmax())
                    members.setdefault(kind, []).append(module.projection(feature[b, :, y, x][None])[0])
        for kind in sorted(members):
            mean = torch.stack(members[kind]).mean(0)
            found.append((kind, (mean / mean.norm()).tolist()))
    return found


@pytest.mark.parametrize("centres", ["ground_truth", "predicted"])
def test_the_loss_equals_a_loop_over_centres_and_queue(centres):
    module = objective("region_aware", centres=centres, weight=0.3).double()
    queue = {c: [] for c in range(CLASSES)}
    for step in range(4):
        features, logits, labels, index = step_inputs(step)
        features, logits = tuple(f.double() for f in features), logits.double()
        value = module(features, logits, labels, index)["loss_region"]
        here = loop_centres(module, features, logits, labels, centres)
        losses = []
        for i, (c, anchor) in enumerate(here):
            keys = [k for j, k in enumerate(here) if j != i] + [(k, v) for k in queue for v in queue[k]]
            positives = [v for k, v in keys if k == c]
            if positives:
                losses.append(loop_infonce(anchor, positives, [v for k, v in keys if k != c], 0.2))
        assert float(value.detach()) == pytest.approx(0.3 * sum(losses) / len(losses), rel=1e-9)
        for c, vector in here:
            queue[c] = (queue[c] + [vector])[-5:]
    held = {c: sorted(module.queue.keys[c, module.queue.held[c]].tolist()) for c in range(CLASSES)}
    for c in range(CLASSES):
        assert len(held[c]) == len(queue[c])
        assert torch.allclose(torch.tensor(held[c]), torch.tensor(sorted(queue[c])))


@pytest.mark.parametrize("choice", CHOICES)
def test_gradcheck(choice):
    inputs = step_inputs(1, batch=2)
    features = tuple(f.double().requires_grad_() for f in inputs[0])

    def total(*maps):
        module = objective("region_aware", temperature=0.5, **choice).double()
        earlier = step_inputs(2, batch=2)
        module(tuple(f.double() for f in earlier[0]), *earlier[1:])  # something in the queue
        out = module(maps, *inputs[1:])
        return sum(value for name, value in out.items() if name.startswith("loss"))

    assert torch.autograd.gradcheck(total, features, atol=1e-5, fast_mode=True)


def test_void_is_in_no_region_however_it_is_predicted():
    features, logits, labels, index = step_inputs(1)
    for centres in ("ground_truth", "predicted"):
        out = objective("region_aware", centres=centres)(features, logits, torch.full_like(labels, 255), index)
        assert float(out["contrast_anchors"]) == 0


def test_predicted_regions_follow_the_logits():
    features, logits, labels, index = step_inputs(1)
    sure = torch.zeros_like(logits)
    sure[:, 3] = 1
    module = objective("region_aware", centres="predicted")
    out = module(features, sure, labels.clamp_max(3), index)
    assert float(out["contrast_anchors"]) == 4  # one region an image
    assert module.queue.count.tolist() == [0, 0, 0, 4]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("fill", [255, 1])
def test_all_void_or_one_class_gives_a_connected_zero(choice, fill):
    features, logits, labels, index = step_inputs(0)
    module = objective("region_aware", **choice)
    features = tuple(f.requires_grad_() for f in features)
    logits = torch.zeros_like(logits)  # all of class 0 where predictions are asked for
    out = module(features, logits, torch.full_like(labels, fill), index)
    sum(value for name, value in out.items() if name.startswith("loss")).backward()
    assert float(out["loss_region"].detach()) == 0
    assert torch.isfinite(features[-1].grad).all()
    assert all(p.grad is not None for p in module.parameters())
    assert (float(out["contrast_anchors"]) == 0) == (fill == 255)
    if fill == 255 and "auxiliary_weight" in choice:
        assert float(out["loss_auxiliary"].detach()) == 0


def test_the_auxiliary_loss_is_a_classifiers_cross_entropy_on_the_first_map():
    features, logits, labels, index = step_inputs(1)
    module = objective("region_aware", auxiliary_weight=0.4)
    out = module(features, logits, labels, index)
    scores = F.interpolate(module.classifier(features[0]), size=labels.shape[-2:], mode="bilinear")
    assert_close(out["loss_auxiliary"], 0.4 * F.cross_entropy(scores, labels, ignore_index=255))
    assert "loss_auxiliary" not in objective("region_aware")(features, logits, labels, index)


def test_the_queue_fills_and_counts_are_returned():
    module = objective("region_aware")
    fills = []
    for step in range(3):
        out = module(*step_inputs(step))
        fills.append(float(out["memory_fill"]))
    assert fills == sorted(fills)
    assert fills[0] < fills[-1] == pytest.approx(float(module.queue.count.sum()) / (CLASSES * 5))
    assert module.queue.keys.grad is None
    assert not module.queue.keys.requires_grad


def test_autocast_keeps_the_loss_in_float32():
    inputs = step_inputs(1)
    outside = objective("region_aware")(*inputs)["loss_region"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = objective("region_aware")(*inputs)["loss_region"]
    assert inside.dtype == torch.float32
    assert_close(inside, outside, dtype=torch.bfloat16)


def test_two_ranks_are_one():
    ranks = run_ranks(2, train_each, "region_aware", CHOICES, 4)
    for one, *two in zip(train_each("region_aware", CHOICES, 4), *ranks, strict=True):
        for result in two:
            assert_close(result["losses"], one["losses"])
            assert_close(result["grads"], one["grads"])
            assert result["counts"] == one["counts"]
            for name, tensor in one["memory"].items():
                torch.testing.assert_close(result["memory"][name], tensor)


def test_the_papers_sizes():
    module = RegionAwareContrast((2048,), 19)
    assert module.queue.keys.shape == (19, 2975, 256)
    assert (module.weight, module.temperature) == (0.1, 0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"centres": "prediction"}, "did you mean 'predicted'"),
        ({"temperature": 0}, "temperature is 0"),
        ({"weight": -1}, "weight is -1; expected a number of 0 or more"),
        ({"queue_length": 0}, "queue_length is 0; expected a whole number above 0"),
        ({"auxiliary_weight": 0.4}, "tap two"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        RegionAwareContrast(CHANNELS[-1:], CLASSES, **options)
