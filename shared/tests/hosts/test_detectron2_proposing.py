from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("detectron2", reason="detectron2 is not installed; see the detectron2 extra")
from small_detectron2 import WARNINGS, slim
from small_instances import write_shapes

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.detectron2 import InstanceTraining
from contrastbench.core.hosts.detectron2.network import build_network, configure
from contrastbench.core.hosts.detectron2.proposing import load_proposer, propose
from contrastbench.core.hosts.proposing import ProposalOptions

pytestmark = [pytest.mark.detectron2, *WARNINGS]


def network(classes: int = 1) -> nn.Module:
    torch.manual_seed(0)
    built = build_network(configure(slim(), None, classes))
    with torch.no_grad():
        # Untrained, it would give all places the same objectness, and masks that are full or empty.
        built.proposal_generator.rpn_head.objectness_logits.weight.mul_(300)
        built.proposal_generator.rpn_head.anchor_deltas.weight.mul_(20)
        built.roi_heads.mask_head.predictor.weight.mul_(1000)
    return built


@pytest.fixture
def images(generator: torch.Generator) -> list[Tensor]:
    return [torch.rand(3, 48, 64, generator=generator), torch.rand(3, 64, 40, generator=generator)]


@pytest.mark.parametrize("boxes", ["raw", "regressed"])
def test_proposals_have_the_form_that_is_stored(images: list[Tensor], boxes: str) -> None:
    model = network()
    before = model.proposal_generator.nms_thresh, dict(model.proposal_generator.post_nms_topk)

    found = propose(model, images, ProposalOptions(keep=20, boxes=boxes))  # type: ignore[arg-type]

    assert (model.proposal_generator.nms_thresh, dict(model.proposal_generator.post_nms_topk)) == before
    for image, proposals in zip(images, found, strict=True):
        assert 0 < len(proposals.masks) <= 20
        assert proposals.masks.shape == (len(proposals.boxes), *image.shape[1:])
        assert proposals.masks.dtype == torch.bool
        assert bool(proposals.masks.flatten(1).any(1).all())
        assert proposals.boxes.dtype == proposals.scores.dtype == torch.float32
        assert bool((proposals.boxes[:, 2] <= image.shape[2]).all())
        assert bool((proposals.scores.diff() <= 0).all())
        assert bool(((proposals.scores >= 0) & (proposals.scores <= 1)).all())


def test_boxes_are_those_of_the_region_proposal_network(images: list[Tensor]) -> None:
    model = network().eval()
    batch = model.preprocess_image([{"image": (images[0] * 255).round().byte()}])
    with torch.no_grad():
        [expected], _ = model.proposal_generator(batch, model.backbone(batch.tensor))
    rpn = model.proposal_generator
    options = ProposalOptions(rpn.nms_thresh, rpn.post_nms_topk[False], rpn.pre_nms_topk[False])

    [found] = propose(model, images[:1], options)

    every = expected.proposal_boxes.tensor
    there = torch.tensor([bool((box == found.boxes).all(1).any()) for box in every])
    assert len(found.boxes) == int(there.sum()) > 5  # the others have an empty mask
    assert torch.equal(found.boxes, every[there])
    assert torch.equal(found.scores, expected.objectness_logits.sigmoid()[there])


def test_an_image_may_have_no_proposals(images: list[Tensor]) -> None:
    model = network()
    with torch.no_grad():
        model.roi_heads.mask_head.predictor.weight.zero_()
        model.roi_heads.mask_head.predictor.bias.fill_(-1)
    found = propose(model, images)
    assert [one.masks.shape for one in found] == [(0, 48, 64), (0, 64, 40)]
    assert [one.scores.shape for one in found] == [(0,)] * 2


def test_a_network_of_several_classes_is_refused(images: list[Tensor]) -> None:
    with pytest.raises(InputError, match="tells 3 classes apart"):
        propose(network(3), images)


def test_a_trained_network_proposes_at_the_images_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    data = {"name": "folder", "root": str(write_shapes(tmp_path / "shapes")), "one_class": True}
    schedule = {
        "iterations": 2,
        "batch_size": 2,
        "optimizer": {"type": "SGD", "lr": 0.01},
        "val_short_side": 64,
        "val_long_side": 96,
    }
    training = InstanceTraining(slim(), data, schedule, threads=1, device="cpu")
    with pytest.raises(InputError, match=r"holds no weights.pth"):
        load_proposer(training, tmp_path / "run", torch.device("cpu"))
    training.run(tmp_path / "run")

    proposer = load_proposer(training, tmp_path / "run", torch.device("cpu"))

    assert isinstance(proposer, partial)
    [model] = proposer.args
    state = torch.load(tmp_path / "run" / "weights.pth", weights_only=True)["model"]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    [found] = proposer([torch.rand(3, 48, 64)], ProposalOptions(keep=5))
    assert found.masks.shape[1:] == (48, 64)
    other = InstanceTraining(slim(MODEL__FPN__OUT_CHANNELS=8), data, schedule, threads=1, device="cpu")
    with pytest.raises(InputError, match="another network"):
        load_proposer(other, tmp_path / "run", torch.device("cpu"))
