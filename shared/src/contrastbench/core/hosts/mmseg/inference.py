"""From images to class ids: in one pass, or averaged over scales and flips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg.taps import last_head


@dataclass(frozen=True)
class Passes:
    """The passes of an image through the network whose class probabilities are averaged.

    Attributes:
        scales: factors on the image's height and width.
        flip: whether each scale is passed mirrored, left to right, too.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Passes:
        """Return the passes under ``scales`` and ``flip`` of a mapping.

        Raises:
            InputError: the scales are no factors, or one is there twice.
        """
        scales, flip = options.get("scales", cls.scales), options.get("flip", cls.flip)
        numbers = scales if isinstance(scales, (list, tuple)) else []
        good = all(isinstance(s, (int, float)) and not isinstance(s, bool) and 0 < s <= 8 for s in numbers)
        if not numbers or not good or len(set(numbers)) < len(numbers):
            raise InputError(f"evaluation.scales is {scales!r}; it must be a list of different factors, above 0 to 8")
        if not isinstance(flip, bool):
            raise InputError(f"evaluation.flip is {flip!r}; it must be true or false")
        return cls(tuple(float(s) for s in numbers), flip)

    @property
    def single(self) -> bool:
        """Whether there is one pass, of the image as it is."""
        return self.scales == (1.0,) and not self.flip

    def __str__(self) -> str:
        low, high = min(self.scales), max(self.scales)
        one = "single scale" if low == 1 else f"scale {low}"
        text = one if low == high else f"scales {low} to {high}"
        return f"{text} with flipping" if self.flip else text


ONE_PASS = Passes()
"""The image as it is."""


@torch.no_grad()
def predict(
    model: nn.Module, batch: dict[str, Any], passes: Passes, with_features: bool = False
) -> tuple[list[Tensor], Tensor | None]:
    """Return the class of each pixel at the resolution of the labels.

    One pass is mmsegmentation's own. Of several, as in its test-time augmentation, the logits of each are brought to
    the resolution of the labels (bilinear) and turned into probabilities, and the class of the largest sum over the
    passes is predicted. Other scales come of the normalised image by bilinear interpolation; sides are rounded.

    Args:
        model: a segmentor in evaluation mode.
        batch: ``inputs`` (uint8 images ``[3, H, W]`` of one size) and ``data_samples``, whose ``ori_shape`` is the
            resolution to predict at.
        passes: the passes.
        with_features: whether to return what the classifier takes in the pass of the image as it is.

    Returns:
        For each image, class ids ``[H, W]`` (int64); and features ``[B, D, h, w]`` (float), or None.

    Raises:
        InputError: features are wanted and there is no pass of the image as it is, or the head has none.
    """
    if with_features and 1.0 not in passes.scales:
        raise InputError("a metric looks at features, which are those at scale 1; add 1.0 to evaluation.scales")
    segmentor = cast(Any, model)
    with _classifier_inputs(model, with_features) as captured:
        if passes.single:
            classes = [sample.pred_sem_seg.data.squeeze(0) for sample in segmentor.val_step(batch)]
        else:
            classes = _several(segmentor, batch, passes)
    if not with_features:
        return classes, None
    if not captured:
        raise InputError(
            f"a metric looks at features, and the head {type(last_head(model)).__name__} does not give them: it does "
            "not use conv_seg; leave the metric out or use another head"
        )
    # The image as it is is passed first.
    return classes, captured[0].float()


def _several(segmentor: Any, batch: dict[str, Any], passes: Passes) -> list[Tensor]:
    data = segmentor.data_preprocessor(batch, False)
    images: Tensor = data["inputs"]
    resolution = tuple(data["data_samples"][0].ori_shape)
    total: Tensor | float = 0.0
    for scale in sorted(passes.scales, key=lambda s: s != 1):
        size = [int(side * scale + 0.5) for side in images.shape[2:]]
        if min(size) < 1:
            raise InputError(f"evaluation.scales: at {scale} nothing is left of an image of {tuple(images.shape[2:])}")
        scaled = images if scale == 1 else F.interpolate(images, size, mode="bilinear", align_corners=False)
        for mirrored in (False, True) if passes.flip else (False,):
            # New each time: mmsegmentation's sliding window writes into them.
            shape = {"ori_shape": resolution, "img_shape": tuple(size), "pad_shape": tuple(size)}
            metas = [{**shape, "padding_size": [0] * 4} for _ in range(len(images))]
            logits = segmentor.inference(scaled.flip(3) if mirrored else scaled, metas)
            logits = logits.flip(3) if mirrored else logits
            logits = F.interpolate(logits, resolution, mode="bilinear", align_corners=segmentor.align_corners)
            total = total + logits.float().softmax(1)
    return list(cast(Tensor, total).argmax(1))


@contextmanager
def _classifier_inputs(model: nn.Module, wanted: bool) -> Iterator[list[Tensor]]:
    """Collect what the classifier of the last head, ``conv_seg``, takes in each pass."""
    captured: list[Tensor] = []
    if not wanted:
        yield captured
        return

    def capture(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not captured:  # the first pass is all that is looked at
            captured.append(inputs[0])

    hook = last_head(model).conv_seg.register_forward_pre_hook(capture)
    try:
        yield captured
    finally:
        hook.remove()
