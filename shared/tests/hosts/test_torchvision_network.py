from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("torchvision", reason="needs the torchvision extra")
from small_instances import batch, slim
from torchvision.models import resnet18
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.ops import FrozenBatchNorm2d

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.torchvision import build_mask_rcnn


def test_without_options_it_is_torchvision_s_own(generator: torch.Generator) -> None:
    own = build_mask_rcnn({"min_size": 64, "max_size": 128, "box_score_thresh": 0.0, "box_detections_per_img": 5}, 2)
    plain = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=3,
        min_size=64,
        max_size=128,
        box_score_thresh=0.0,
        box_detections_per_img=5,
    )
    plain.load_state_dict(own.state_dict(), strict=True)
    trains = {name: parameter.requires_grad for name, parameter in plain.named_parameters()}
    assert {name: parameter.requires_grad for name, parameter in own.named_parameters()} == trains

    own.to(memory_format=torch.contiguous_format).eval()
    plain.eval()
    with torch.no_grad():
        images = batch(generator, (1,))[0]
        [mine], [other] = own(images), plain(images)

    assert len(mine["scores"]) == 5
    assert all(torch.equal(value, other[name]) for name, value in mine.items())


def test_images_keep_their_size() -> None:
    model = build_mask_rcnn(slim(), 2)

    images, _ = model.transform([torch.rand(3, 40, 70), torch.rand(3, 50, 60)])

    assert images.image_sizes == [(40, 70), (50, 60)]
    assert images.tensors.shape == (2, 3, 64, 96)


def test_min_size_resizes_as_torchvision_does() -> None:
    model = build_mask_rcnn(slim(min_size=[32, 80], max_size=200), 2).eval()

    images, _ = model.transform([torch.rand(3, 40, 70)])

    assert images.image_sizes == [(80, 140)]


@pytest.mark.parametrize("stride", [2, 4])
def test_strides_of_the_pyramid_are_known_and_not_guessed(generator: torch.Generator, stride: int) -> None:
    # Torchvision would take images of 40 pixels on a canvas of 64 for a pyramid of other strides, and for good.
    fresh, used = (build_mask_rcnn(slim(stem_stride=stride, box_score_thresh=0.0), 2) for _ in range(2))
    fresh.eval()
    used.load_state_dict(fresh.state_dict())
    used.eval()
    with torch.no_grad():
        used([torch.rand(3, 40, 40, generator=generator)])
        images = batch(generator)[0]
        for mine, other in zip(used(images), fresh(images), strict=True):
            assert all(torch.equal(value, other[name]) for name, value in mine.items())

    pyramid = fresh.backbone(torch.zeros(1, 3, 64, 64))
    assert pyramid["0"].shape[-1] == 64 // stride
    for pool in (fresh.roi_heads.box_roi_pool, fresh.roi_heads.mask_roi_pool):
        assert pool.scales == [pyramid[level].shape[-1] / 64 for level in pool.featmap_names]


def test_widths() -> None:
    model = build_mask_rcnn(slim(width=8, fpn_channels=16, mask_channels=[10, 12], mask_features=6), 4)

    stages = [getattr(model.backbone.body, f"layer{n}")[-1].conv2.out_channels for n in range(1, 5)]
    assert stages == [8, 16, 32, 64]
    assert model.backbone.body.conv1.out_channels == 8
    assert model.backbone.out_channels == 16
    assert [block[0].out_channels for block in model.roi_heads.mask_head] == [10, 12]
    assert model.roi_heads.mask_predictor.mask_fcn_logits.in_channels == 6
    assert model.roi_heads.box_predictor.cls_score.out_features == 5


def test_pretrained_backbone(tmp_path: Path) -> None:
    weights = resnet18(weights=None)
    torch.nn.init.constant_(weights.bn1.running_mean, 0.5)
    torch.save(weights.state_dict(), tmp_path / "plain.pth")
    torch.save({"state_dict": weights.state_dict()}, tmp_path / "nested.pth")

    for name in ("plain.pth", "nested.pth"):
        body = build_mask_rcnn(slim(width=64, pretrained=str(tmp_path / name)), 2).backbone.body
        assert torch.equal(body.layer4[1].conv2.weight, weights.layer4[1].conv2.weight)
        assert isinstance(body.bn1, FrozenBatchNorm2d)
        assert torch.equal(body.bn1.running_mean, weights.bn1.running_mean)
        trains = {name.split(".")[0] for name, parameter in body.named_parameters() if parameter.requires_grad}
        assert trains == {"layer2", "layer3", "layer4"}  # three stages, as torchvision's


@pytest.mark.parametrize(("layers", "first"), [(5, "conv1"), (4, "layer1"), (1, "layer4")])
def test_trainable_layers(layers: int, first: str) -> None:
    body = build_mask_rcnn(slim(trainable_layers=layers), 2).backbone.body

    trains = [name for name, parameter in body.named_parameters() if parameter.requires_grad]
    assert trains[0].split(".")[0] == first
    assert ("bn1.weight" in trains) == (layers == 5)


def test_weights_of_another_network_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(resnet18(weights=None).state_dict(), path)
    with pytest.raises(InputError, match="does not load as weights of the backbone"):
        build_mask_rcnn(slim(width=8, pretrained=str(path)), 2)
    with pytest.raises(InputError, match=r"weights of another network: \d+ are missing"):
        build_mask_rcnn({"backbone": "resnet34", "pretrained": str(path)}, 2)
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match="does not load"):
        build_mask_rcnn(slim(width=64, pretrained=str(path)), 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bakcbone": "resnet18"}, "did you mean 'backbone'"),
        ({"rpn_pre_nms_top_n": 3}, "did you mean 'rpn_p"),
        ({"backbone": "resnet19"}, "unknown backbone.*'resnet18'"),
        ({"width": 0}, "network.width is 0"),
        ({"anchor_sizes": [8, 16]}, "anchor_sizes has 2 sizes.*5 levels"),
        ({"stem_stride": 3}, "stem_stride is 3"),
        ({"mask_channels": []}, "mask_channels is empty"),
        ({"trainable_layers": 6}, "trainable_layers is 6"),
        ({"pretrained": "/nowhere.pth"}, "no file '/nowhere.pth'"),
        ({"rpn_anchor_generator": None}, "unknown option of network"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_mask_rcnn({**slim(), **options}, 2)
