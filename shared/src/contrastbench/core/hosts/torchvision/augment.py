"""Random views of an annotated image: resized, cropped, mirrored, recoloured."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from contrastbench.core.hosts.resolution import Size
from contrastbench.core.hosts.torchvision.sizing import resize_image, resize_masks

_STRENGTH = 0.3
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Augmentation:
    """Draws from Python's global generator, which :class:`~contrastbench.core.hosts.stream.Seeded` seeds a sample.

    Attributes:
        crop: height and width; a side that the resized image is shorter than stays as it is. None for whole images.
        scale: range of the resizing before the crop, relative to the image.
        flip: whether to mirror left to right, every other time.
        jitter: whether to change brightness, contrast and saturation, each by up to 30 per cent.
    """

    crop: Size | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = True
    jitter: bool = False

    def __call__(self, image: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a view of the image and of its masks, of which some may be empty.

        Args:
            image: ``[H, W, 3]`` (uint8).
            masks: ``[N, H, W]`` (bool).
        """
        window, size = self._place((image.shape[0], image.shape[1]))
        image, masks = resize_image(image[window], size), resize_masks(masks[:, window[0], window[1]], size)
        if self.flip and random.random() < 0.5:
            image, masks = image[:, ::-1], masks[:, :, ::-1]
        return (_jittered(image) if self.jitter else image), masks

    def _place(self, shape: Size) -> tuple[tuple[slice, slice], Size]:
        """Return what is cut from an image of a shape, and the size it is brought to: only that much is resized."""
        scale = random.uniform(*self.scale)
        scaled = [max(1, round(side * scale)) for side in shape]
        height, width = (min(pair) for pair in zip(scaled, self.crop or scaled, strict=True))
        window = []
        for side, kept, whole in zip(shape, (height, width), scaled, strict=True):
            cut = min(side, max(1, round(side * kept / whole)))
            start = random.randint(0, side - cut)
            window.append(slice(start, start + cut))
        return (window[0], window[1]), (height, width)


def _jittered(image: np.ndarray) -> np.ndarray:
    brightness, contrast, saturation = (random.uniform(1 - _STRENGTH, 1 + _STRENGTH) for _ in range(3))
    pixels = image.astype(np.float32) * brightness
    grey = (pixels @ _GREY)[..., None]
    pixels = grey + (pixels - grey) * saturation
    middle = grey.mean()
    return np.clip(middle + (pixels - middle) * contrast, 0, 255).astype(np.uint8)
