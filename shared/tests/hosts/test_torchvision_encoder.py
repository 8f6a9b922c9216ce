"""The encoder of crops is torchvision's ResNet-18 at width 64, and takes any number of crops of any size."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("torchvision", reason="needs the torchvision extra")
from torch import nn
from torchvision.models import resnet18 as torchvision_resnet18

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.torchvision.encoder import resnet18


def test_it_is_torchvision_s_own_without_its_classifier() -> None:
    mine, plain = resnet18(), torchvision_resnet18(weights=None)
    plain.load_state_dict(mine[0].state_dict() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)})
    plain.fc = nn.Identity()
    assert mine.dim == 512
    crops = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        assert torch.equal(mine.train(mode)(crops), plain.train(mode)(crops))
    for name, value in plain.named_buffers():
        assert torch.equal(mine[0].get_buffer(name), value)


def test_weights_start_as_torchvision_s_do() -> None:
    torch.manual_seed(0)
    mine, plain = resnet18()[0].state_dict(), torchvision_resnet18(weights=None).state_dict()
    convolutions = [name for name, value in mine.items() if value.dim() == 4]
    assert len(convolutions) == 20
    for name, value in mine.items():
        if name in convolutions:
            assert float(value.std()) == pytest.approx(float(plain[name].std()), rel=0.1)
            assert abs(float(value.mean())) < 0.01
        else:
            assert torch.equal(value, plain[name])


@pytest.mark.parametrize("width", [2, 16])
def test_a_narrower_one_has_fewer_features(width: int) -> None:
    encoder = resnet18(width).train()
    features = encoder(torch.randn(3, 3, 16, 16))
    assert features.shape == (3, encoder.dim) == (3, 8 * width)
    features.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in encoder.parameters())


@pytest.mark.parametrize("size", [8, 32])
def test_one_small_crop_or_none_trains_too(size: int) -> None:
    """Plain batch normalisation refuses a single value: the last stage of a crop of 32 is one pixel."""
    encoder = resnet18(2).train()
    last = encoder[0].layer4[1].bn2
    for count in (1, 0):
        before = last.running_mean.clone()
        features = encoder(torch.randn(count, 3, size, size))
        assert features.shape == (count, 16)
        features.sum().backward()
        assert torch.isfinite(features).all()
        assert torch.equal(last.running_mean, before)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        torchvision_resnet18(weights=None).train()(torch.randn(1, 3, size, size))
    encoder(torch.randn(2, 3, size, size))
    assert not torch.equal(last.running_mean, before)


def test_a_smaller_stride_sees_four_times_as_much() -> None:
    for stride, side in ((4, 1), (2, 2)):
        assert resnet18(2, stem_stride=stride)[0](torch.zeros(2, 3, 32, 32)).shape == (2, 16, side, side)


def test_options_out_of_range() -> None:
    with pytest.raises(InputError, match=r"encoder\.stem_stride is 1"):
        resnet18(2, stem_stride=1)
    for width in (0, 1.5, True):
        with pytest.raises(InputError, match=rf"encoder\.width is {width!r}"):
            resnet18(width)
