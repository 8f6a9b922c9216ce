from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("torchvision", reason="needs the torchvision extra")
from small_instances import slim, write_shapes
from torchvision.models.detection import MaskRCNN
from torchvision.ops import box_iou

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.proposing import ImageProposals, ProposalOptions, scored
from contrastbench.core.hosts.torchvision import InstanceTraining, build_mask_rcnn
from contrastbench.core.hosts.torchvision.proposing import load_proposer, propose


@pytest.fixture
def model() -> MaskRCNN:
    torch.manual_seed(0)
    built = build_mask_rcnn(slim(), 1)
    with torch.no_grad():
        # Untrained, it would give all places the same objectness, and masks that are full or empty.
        built.rpn.head.cls_logits.weight.mul_(300)
        built.rpn.head.bbox_pred.weight.mul_(20)
        built.roi_heads.mask_predictor.mask_fcn_logits.weight.mul_(10)
    return built


@pytest.fixture
def images(generator: torch.Generator) -> list[Tensor]:
    return [torch.rand(3, 48, 64, generator=generator), torch.rand(3, 64, 40, generator=generator)]


def test_proposals_have_the_form_that_is_stored(model: MaskRCNN, images: list[Tensor]) -> None:
    found = propose(model, images, ProposalOptions(keep=20))

    assert len(found) == 2
    for image, proposals in zip(images, found, strict=True):
        height, width = image.shape[1:]
        assert 0 < len(proposals.masks) <= 20
        assert proposals.masks.shape == (len(proposals.boxes), height, width)
        assert proposals.masks.dtype == torch.bool
        assert bool(proposals.masks.flatten(1).any(1).all())
        assert proposals.boxes.dtype == proposals.scores.dtype == torch.float32
        assert bool((proposals.boxes >= 0).all())
        assert bool((proposals.boxes[:, 2] <= width).all())
        assert bool((proposals.boxes[:, 3] <= height).all())
        assert bool((proposals.scores.diff() <= 0).all())
        assert bool(((proposals.scores > 0) & (proposals.scores < 1)).all())


def test_boxes_and_scores_are_those_of_the_region_proposal_network(model: MaskRCNN, images: list[Tensor]) -> None:
    rpn = model.rpn
    rpn.nms_thresh, rpn._pre_nms_top_n["testing"], rpn._post_nms_top_n["testing"] = 0.6, 100, 30
    scores: list[list[Tensor]] = []
    plain = rpn.filter_proposals

    def spied(*arguments: object) -> tuple[list[Tensor], list[Tensor]]:
        boxes, own = plain(*arguments)
        scores.append(own)
        return boxes, own

    rpn.filter_proposals = spied
    model.eval()
    batch, _ = model.transform(images[:1])
    with torch.no_grad():
        [expected], _ = rpn(batch, model.backbone(batch.tensors))

    [found] = propose(model, images[:1], ProposalOptions(nms=0.6, pre_nms=100, keep=30))

    there = torch.tensor([bool((box == found.boxes).all(1).any()) for box in expected])
    assert len(found.boxes) == int(there.sum()) > 10  # the others have an empty mask
    assert torch.equal(found.boxes, expected[there])
    assert torch.equal(found.scores, scores[0][0][there])


def test_a_mask_is_what_the_mask_branch_sees_in_its_box(model: MaskRCNN, images: list[Tensor]) -> None:
    [found] = propose(model, images[:1], ProposalOptions(keep=10))
    model.eval()
    batch, _ = model.transform(images[:1])
    heads = model.roi_heads
    with torch.no_grad():
        features = model.backbone(batch.tensors)
        logits = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, [found.boxes], batch.image_sizes)))
    for mask, box, logit in zip(found.masks, found.boxes, logits[:, 1], strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        left, top, right, bottom = box.tolist()
        assert left - 2 <= columns.min()
        assert columns.max() <= right + 2
        assert top - 2 <= rows.min()
        assert rows.max() <= bottom + 2
        # The share of the box that is covered is that of the small mask, up to its resizing.
        covered = float(mask.sum()) / max(1.0, (right - left) * (bottom - top))
        if (right - left) * (bottom - top) > 200:
            assert covered == pytest.approx(float((logit > 0).float().mean()), abs=0.2)


def test_more_suppression_leaves_fewer_boxes(model: MaskRCNN, images: list[Tensor]) -> None:
    weak, strong = (propose(model, images, ProposalOptions(nms=nms, keep=5000)) for nms in (1.0, 0.3))

    for many, few in zip(weak, strong, strict=True):
        assert len(few.boxes) < len(many.boxes)
        overlaps = [(box_iou(found.boxes, found.boxes) > 0.3).float().mean() for found in (many, few)]
        assert overlaps[1] < overlaps[0]


def test_the_best_are_kept(model: MaskRCNN, images: list[Tensor]) -> None:
    [whole], [best] = (propose(model, images[:1], ProposalOptions(keep=keep)) for keep in (40, 10))

    assert torch.equal(best.scores, whole.scores[: len(best.scores)])
    assert torch.equal(best.masks, whole.masks[: len(best.masks)])


def test_regressed_boxes_are_others_of_the_same_objectness(model: MaskRCNN, images: list[Tensor]) -> None:
    with torch.no_grad():
        model.roi_heads.box_predictor.bbox_pred.weight.mul_(10)
    raw, regressed = (propose(model, images, ProposalOptions(boxes=boxes, keep=10)) for boxes in ("raw", "regressed"))

    for one, other, image in zip(raw, regressed, images, strict=True):
        assert set(other.scores.tolist()) & set(one.scores.tolist())
        assert not torch.equal(one.boxes[:1], other.boxes[:1])
        assert bool((other.boxes[:, 2] <= image.shape[2]).all())


def test_regressed_boxes_are_raw_ones_where_nothing_is_to_correct(model: MaskRCNN, images: list[Tensor]) -> None:
    with torch.no_grad():
        model.roi_heads.box_predictor.bbox_pred.weight.zero_()
        model.roi_heads.box_predictor.bbox_pred.bias.zero_()
    raw, regressed = (propose(model, images, ProposalOptions(boxes=boxes, keep=10)) for boxes in ("raw", "regressed"))

    for one, other in zip(raw, regressed, strict=True):
        assert torch.allclose(one.boxes, other.boxes, atol=1e-3)


def test_images_make_no_difference_to_each_other(model: MaskRCNN, images: list[Tensor]) -> None:
    alike = [images[0], images[0].flip(2)]
    together = propose(model, alike, ProposalOptions(keep=10))
    alone = [propose(model, [image], ProposalOptions(keep=10))[0] for image in alike]

    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one.scores, other.scores, atol=1e-5)
        assert torch.allclose(one.boxes, other.boxes, atol=1e-3)


def test_an_image_may_have_no_proposals(model: MaskRCNN, images: list[Tensor]) -> None:
    with torch.no_grad():
        model.roi_heads.mask_predictor.mask_fcn_logits.weight.zero_()
        model.roi_heads.mask_predictor.mask_fcn_logits.bias.fill_(-1)
    for boxes in ("raw", "regressed"):
        found = propose(model, images, ProposalOptions(boxes=boxes))
        assert [one.masks.shape for one in found] == [(0, 48, 64), (0, 64, 40)]
        assert [one.boxes.shape for one in found] == [(0, 4)] * 2
        assert [one.scores.shape for one in found] == [(0,)] * 2


def test_the_rank_ramp_falls_from_one_to_a_half() -> None:
    masks = torch.ones(5, 2, 2, dtype=torch.bool)
    masks[2] = False
    parts = masks, torch.arange(20.0).reshape(5, 4), torch.linspace(0.9, 0.1, 5)

    ramp = scored(*parts, ProposalOptions(scores="rank_ramp"))
    plain = scored(*parts, ProposalOptions())

    assert ramp.scores.tolist() == pytest.approx([1, 1 - 1 / 6, 1 - 2 / 6, 0.5])
    assert plain.scores.tolist() == pytest.approx([0.9, 0.7, 0.3, 0.1])
    assert torch.equal(ramp.boxes, plain.boxes)
    assert ramp.boxes[:, 0].tolist() == [0, 4, 12, 16]
    for n in (0, 1):
        few = scored(*(part[:n] for part in parts), ProposalOptions(scores="rank_ramp"))
        assert isinstance(few, ImageProposals)
        assert few.scores.tolist() == [1.0] * n


def test_a_network_of_several_classes_is_refused(images: list[Tensor]) -> None:
    with pytest.raises(InputError, match="tells 3 classes apart"):
        propose(build_mask_rcnn(slim(), 3), images)


def test_a_trained_network_proposes_what_it_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    data = {"name": "folder", "root": str(write_shapes(tmp_path / "shapes")), "one_class": True}
    schedule = {"iterations": 2, "batch_size": 2, "optimizer": {"type": "AdamW", "lr": 0.002}}
    training = InstanceTraining(slim(), data, schedule, threads=1, device="cpu")
    with pytest.raises(InputError, match=r"holds no weights.pth"):
        load_proposer(training, tmp_path / "run", torch.device("cpu"))
    training.run(tmp_path / "run")

    proposer = load_proposer(training, tmp_path / "run", torch.device("cpu"))

    assert isinstance(proposer, partial)
    [model] = proposer.args
    assert not model.training
    state = torch.load(tmp_path / "run" / "weights.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    other = InstanceTraining(slim(width=4), data, schedule, threads=1, device="cpu")
    with pytest.raises(InputError, match="another network"):
        load_proposer(other, tmp_path / "run", torch.device("cpu"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nsm": 0.5}, "unknown option of proposals 'nsm'; did you mean 'nms'"),
        ({"boxes": "regresed"}, "did you mean 'regressed'"),
        ({"scores": "ramp"}, "did you mean 'rank_ramp'"),
        ({"keep": 0}, "proposals.keep is 0"),
        ({"pre_nms": 1.5}, "proposals.pre_nms is 1.5"),
        ({"nms": 1.5}, "proposals.nms is 1.5"),
    ],
)
def test_impossible_options_are_explained(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ProposalOptions.read(options)
