"""What class-agnostic proposals are and how they are made, whichever framework the network is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor

from contrastbench.core.errors import InputError, require_number, unknown_name

_CHOICES = {"boxes": ("raw", "regressed"), "scores": ("objectness", "rank_ramp")}


class ImageProposals(NamedTuple):
    """The n proposals of an image, by falling objectness; n may be 0.

    Attributes:
        masks: ``[n, H, W]`` (bool), none empty.
        boxes: ``[n, 4]`` (float32): left, top, right, bottom in pixels of the image.
        scores: ``[n]`` (float32).
    """

    masks: Tensor
    boxes: Tensor
    scores: Tensor


@dataclass(frozen=True)
class ProposalOptions:
    """How proposals are made (Weng et al., CVPR 2021, section 4.1). The defaults are the paper's where it says.

    Attributes:
        nms: IoU of two boxes of a level of the pyramid above which the less likely one is dropped.
        keep: the best by objectness that are kept of an image.
        pre_nms: the best of each level that are compared at all; not in the paper.
        boxes: masks are predicted in the ``"raw"`` boxes of the region proposal network, as in the authors' code, or
            in those ``"regressed"`` from them by the box head.
        scores: the ``"objectness"`` probability, or the ``"rank_ramp"`` of the authors' code: from 1.0 for the first
            down to 0.5 for the last, whatever their probability.

    Raises:
        InputError: an unknown choice, or a number out of its range.
    """

    nms: float = 0.75
    keep: int = 50
    pre_nms: int = 1000
    boxes: Literal["raw", "regressed"] = "raw"
    scores: Literal["objectness", "rank_ramp"] = "objectness"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise unknown_name(f"{name} of proposals (proposals.{name})", str(getattr(self, name)), choices)
        for name in ("keep", "pre_nms"):
            require_number(f"proposals.{name}", getattr(self, name), least=1, whole=True)
        if not isinstance(self.nms, (int, float)) or isinstance(self.nms, bool) or not 0 < self.nms <= 1:
            raise InputError(f"proposals.nms is {self.nms!r}; expected an IoU above 0 and up to 1")

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Self:
        """Return the options that a mapping gives.

        Raises:
            InputError: one is unknown or impossible.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise unknown_name("option of proposals", str(name), known)
        return cls(**options)


Proposer = Callable[[Sequence[Tensor], ProposalOptions], list[ImageProposals]]
"""A trained network, asked for proposals of images ``[3, H, W]`` (float32, 0 to 1)."""


def scored(masks: Tensor, boxes: Tensor, scores: Tensor, options: ProposalOptions) -> ImageProposals:
    """Return proposals without those whose mask is empty, with the scores that are asked for, on the CPU.

    Args:
        masks: ``[n, H, W]`` (bool), by falling objectness.
        boxes: ``[n, 4]``.
        scores: ``[n]``, the objectness.
        options: how they are made.
    """
    there = masks.flatten(1).any(1)
    masks, boxes, scores = (part[there].detach().cpu() for part in (masks, boxes, scores))
    if options.scores == "rank_ramp":
        scores = torch.linspace(1.0, 0.5, len(scores))
    return ImageProposals(masks, boxes.float(), scores.float())
