"""Crops against pixels picked one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.testing import assert_close
from contrastbench.longtail import RELEASED, Crops

HEIGHT, WIDTH = 12, 20
PLAIN: dict[str, Any] = {"normalise": False}
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def image(dtype: torch.dtype = torch.uint8) -> Tensor:
    drawn = torch.randint(256, (3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return drawn if dtype == torch.uint8 else drawn.to(dtype) / 255


def proposals() -> tuple[Tensor, Tensor]:
    """Square and oblong boxes, some over the border, one a point; masks that are not their boxes."""
    boxes = torch.tensor(
        [[4, 2, 8, 6], [4.0, 2.0, 8.0, 4.0], [0.0, 0.0, 20.0, 12.0], [15.5, 8.2, 20, 12], [7, 7, 7, 7], [3, 1, 4, 11]]
    )
    masks = torch.rand(len(boxes), HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)) < 0.5
    return boxes, masks


def test_a_crop_of_a_box_s_own_size_is_its_pixels() -> None:
    boxes, masks = proposals()
    parts = Crops(size=4, samples=1, **PLAIN).parts(image(), boxes[:1], masks[:1])
    pixels, inside = image()[:, 2:6, 4:8].float(), masks[0, 2:6, 4:8]
    assert_close(parts.full[0], pixels)
    assert_close(parts.foreground[0], torch.where(inside, pixels, 0.0))
    assert_close(parts.background[0], torch.where(inside, 0.0, pixels))


def test_an_oblong_box_becomes_the_square_around_its_centre() -> None:
    boxes, masks = proposals()
    crop = Crops(size=4, samples=1, **PLAIN).parts(image(), boxes[1:2], masks[1:2]).full
    assert_close(crop[0], image()[:, 1:5, 4:8].float())


def test_a_box_that_is_a_point_becomes_a_pixel_around_it() -> None:
    boxes, masks = proposals()
    crops, around = Crops(size=3, samples=1), torch.tensor([[6.5, 6.5, 7.5, 7.5]])
    crop = crops.parts(image(), boxes[4:5], masks[4:5]).full
    assert torch.equal(crop, crops.parts(image(), around, masks[4:5]).full)
    assert float(crop.std()) > 0


def test_a_pixel_of_a_crop_is_the_mean_over_its_places() -> None:
    """The mask is applied before the resizing: a pixel half inside is half of the object."""
    boxes, masks = proposals()
    parts = Crops(size=2, samples=2, **PLAIN).parts(image(), boxes[:1], masks[:1])
    pixels, inside = image()[:, 2:6, 4:8].float(), masks[0, 2:6, 4:8]
    for part, chosen in (
        (parts.full, pixels),
        (parts.foreground, pixels * inside),
        (parts.background, pixels * ~inside),
    ):
        assert_close(part[0], chosen.unflatten(1, (2, 2)).unflatten(3, (2, 2)).mean((2, 4)))


@pytest.mark.parametrize("options", [{}, PLAIN, RELEASED["crops"], {"samples": 1}], ids=str)
def test_object_and_background_add_up_to_the_box(options: dict[str, Any]) -> None:
    crops, (boxes, masks) = Crops(**{"size": 7} | options), proposals()
    full, foreground, background = crops.parts(image(), boxes, masks)
    assert full.shape == (6, 3, 7, 7)
    assert full.dtype == torch.float32
    assert_close(foreground + background, full)
    assert torch.equal(crops.foreground(image(), boxes, masks), foreground)
    # All at once is one by one.
    for i in range(len(boxes)):
        assert_close(crops.parts(image(), boxes[i : i + 1], masks[i : i + 1]).full[0], full[i])


def test_a_ramp_stays_a_ramp_at_any_size() -> None:
    """x + 10 y, interpolated: the value at the middle of each pixel of the crop, exact for a linear image."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    ramp = ((x + 10 * y) / 255).expand(3, -1, -1)
    box = torch.tensor([[2.25, 1.5, 10.25, 8.0]])  # a square of 8 around (6.25, 4.75)
    for size, samples in ((5, 1), (5, 3), (64, 2)):
        masks = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
        crop = Crops(size=size, samples=samples, **PLAIN).foreground(ramp, box, masks)[0, 0]
        middle = (torch.arange(size) + 0.5) / size * 8
        expected = (2.25 + middle) + 10 * (0.75 + middle)[:, None]
        assert_close(crop, expected)


def test_beyond_the_image_there_is_nothing_and_its_border_is_not_darkened() -> None:
    bright = torch.full((3, HEIGHT, WIDTH), 1.0)
    masks = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    box = torch.tensor([[-8.0, -8.0, 8.0, 8.0]])
    for options, inside in ((PLAIN, torch.full((3, 1, 1), 255.0)), ({}, (1 - MEAN) / DEVIATION)):
        crop = Crops(size=16, samples=3, **options).parts(bright, box, masks).full[0]
        assert not crop[:, :8].any()
        assert not crop[:, :, :8].any()
        assert_close(crop[:, 8:, 8:], inside.expand(3, 8, 8))


def test_normalised_or_as_the_released_code_has_it() -> None:
    boxes, masks = proposals()
    pixels, inside = image()[:, 2:6, 4:8], masks[0, 2:6, 4:8]
    paper = Crops(size=4, samples=1).foreground(image(), boxes[:1], masks[:1])[0]
    assert_close(paper, (pixels / 255 - MEAN) / DEVIATION * inside)
    released = Crops(size=4, samples=1, **RELEASED["crops"]).foreground(image(), boxes[:1], masks[:1])[0]
    assert_close(released, pixels.flip(0) * inside.float())


def test_bytes_and_floats_are_the_same_image() -> None:
    boxes, masks = proposals()
    one, other = (Crops(size=9).foreground(image(dtype), boxes, masks) for dtype in (torch.uint8, torch.float32))
    assert_close(one, other)


@pytest.mark.parametrize("samples", [1, 2])
def test_no_proposals(samples: int) -> None:
    parts = Crops(size=5, samples=samples).parts(
        image(), torch.zeros(0, 4), torch.zeros(0, HEIGHT, WIDTH, dtype=torch.bool)
    )
    assert [part.shape for part in parts] == [(0, 3, 5, 5)] * 3


def test_bad_input() -> None:
    boxes, masks = proposals()
    for options, message in (
        ({"size": 0}, "crops.size is 0"),
        ({"samples": 1.5}, "crops.samples is 1.5"),
        ({"channels": "rbg"}, "unknown order of channels 'rbg'"),
    ):
        with pytest.raises(InputError, match=message):
            Crops(**options)
    for arguments, message in (
        ((image()[0], boxes, masks), r"the image is torch.uint8 \[12, 20\]"),
        ((image().int(), boxes, masks), "the image is torch.int32"),
        ((image(), boxes[:, :3], masks), r"the boxes are \[6, 3\]"),
        ((image(), boxes, masks.float()), "the masks are torch.float32"),
        ((image(), boxes, masks[:, 1:]), r"expected torch.bool \[6, 12, 20\]"),
    ):
        with pytest.raises(InputError, match=message):
            Crops(size=4).parts(*arguments)
