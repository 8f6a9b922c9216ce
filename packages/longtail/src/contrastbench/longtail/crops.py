"""From an image and its proposals to what the encoder sees: the box, its object alone, its background alone.

One resampling serves all proposals of an image: a grid of places in each box, where the image is interpolated and the
mask looked up, then the mean over the places of each pixel of the crop. So the three crops of a box are of one
sampling, and object and background add up to the whole box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.errors import InputError, require_number, unknown_name

# Of ImageNet's images, in the units of pixels from 0 to 1: what pictures are commonly normalised with.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_CHANNELS = ("rgb", "bgr")


class Parts(NamedTuple):
    """The crops of n proposals, each ``[n, 3, S, S]`` (float32).

    Attributes:
        full: the whole boxes.
        foreground: pixels outside the mask are 0.
        background: pixels inside the mask are 0.
    """

    full: Tensor
    foreground: Tensor
    background: Tensor


@dataclass(frozen=True)
class Crops:
    """Cuts proposals out of an image: a square around the centre of each box, brought to one size.

    What lies outside the image is 0, as is what a mask removes: with ``normalise``, the mean colour.

    Attributes:
        size: S, side of a crop in pixels.
        samples: places along each axis of a pixel of the crop, whose mean it is. A box of more than ``samples * size``
            pixels a side is not seen in full.
        normalise: subtract the mean and divide by the deviation of each channel; False for values from 0 to 255, as
            the released code has them.
        channels: ``"rgb"``, or ``"bgr"`` as the released code has them.

    Raises:
        InputError: an unknown order, or a number out of its range.
    """

    size: int = 224
    samples: int = 2
    normalise: bool = True
    channels: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.channels not in _CHANNELS:
            raise unknown_name("order of channels", str(self.channels), _CHANNELS)
        for name in ("size", "samples"):
            require_number(f"crops.{name}", getattr(self, name), least=1, whole=True)

    def parts(self, image: Tensor, boxes: Tensor, masks: Tensor) -> Parts:
        """Return whole boxes, objects and backgrounds.

        Args:
            image: ``[3, H, W]``, RGB; uint8, or float from 0 to 1.
            boxes: ``[n, 4]``: left, top, right, bottom in pixels of the image, whose top left pixel is from 0 to 1.
            masks: ``[n, H, W]`` (bool).

        Raises:
            InputError: shapes or types that are others.
        """
        pixels, inside = self._sampled(image, boxes, masks)
        return Parts(self._pool(pixels), self._pool(pixels * inside), self._pool(pixels * ~inside))

    def foreground(self, image: Tensor, boxes: Tensor, masks: Tensor) -> Tensor:
        """Return the objects alone ``[n, 3, S, S]`` (float32); arguments as of :meth:`parts`."""
        pixels, inside = self._sampled(image, boxes, masks)
        return self._pool(pixels * inside)

    @torch.no_grad()
    def _sampled(self, image: Tensor, boxes: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image ``[n, 3, T, T]`` (float32) and the masks ``[n, 1, T, T]`` (bool) at T = samples * size."""
        _check(image, boxes, masks)
        height, width = image.shape[1:]
        n, side = len(boxes), self.samples * self.size
        x, y = _places(boxes.float(), side)
        # An image for each proposal would be a copy for each: all grids are rows of one.
        across, down = (2 * x / width - 1)[:, None], (2 * y / height - 1)[:, :, None]
        unit = torch.stack(torch.broadcast_tensors(across, down), -1)
        pixels = F.grid_sample(
            self._prepared(image)[None],
            unit.reshape(1, n * side, side, 2),
            padding_mode="border",  # padding with 0 would darken the last half pixel within the image
            align_corners=False,
        )
        within = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None]
        pixels = pixels[0].unflatten(1, (n, side)).transpose(0, 1) * within[:, None]
        row, column = y.floor().long(), x.floor().long()
        inside = masks[
            torch.arange(n, device=masks.device)[:, None, None],
            row.clamp(0, height - 1)[:, :, None],
            column.clamp(0, width - 1)[:, None],
        ]
        return pixels, inside[:, None]

    def _prepared(self, image: Tensor) -> Tensor:
        """Return the image in the order and the units of the crops, ``[3, H, W]`` (float32)."""
        pixels = image.float() / 255 if image.dtype == torch.uint8 else image.float()
        if self.normalise:
            pixels = (pixels - pixels.new_tensor(_MEAN)[:, None, None]) / pixels.new_tensor(_DEVIATION)[:, None, None]
        else:
            pixels = pixels * 255
        return pixels if self.channels == "rgb" else pixels.flip(0)

    def _pool(self, pixels: Tensor) -> Tensor:
        return F.avg_pool2d(pixels, self.samples) if self.samples > 1 else pixels


def _places(boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return x and y ``[n, side]`` of a regular grid over the square around each box, in pixels of the image."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    # A box may be empty; its crop is then a pixel.
    length = (boxes[:, 2:] - boxes[:, :2]).amax(1).clamp_min(1)
    step = (torch.arange(side, device=boxes.device) + 0.5) / side - 0.5
    offset = length[:, None] * step
    return centre[:, :1] + offset, centre[:, 1:] + offset


def _check(image: Tensor, boxes: Tensor, masks: Tensor) -> None:
    if image.dim() != 3 or len(image) != 3 or not (image.dtype == torch.uint8 or image.is_floating_point()):
        raise InputError(
            f"the image is {image.dtype} {list(image.shape)}; expected [3, H, W], uint8 or float from 0 to 1"
        )
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise InputError(f"the boxes are {list(boxes.shape)}; expected [n, 4]: left, top, right, bottom")
    if masks.dtype != torch.bool or masks.shape != (len(boxes), *image.shape[1:]):
        raise InputError(
            f"the masks are {masks.dtype} {list(masks.shape)}; expected torch.bool "
            f"{[len(boxes), *image.shape[1:]]}: one for each box, of the image's size"
        )
