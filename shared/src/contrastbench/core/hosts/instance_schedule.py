"""How long, how fast and on what crops an instance segmentation network is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from contrastbench.core.errors import InputError, unknown_name
from contrastbench.core.hosts.schedule import Schedule

_COURSES = ("one_cycle", "poly", "step")


@dataclass(frozen=True)
class InstanceSchedule(Schedule):
    """The options under ``schedule``: those of every host, and how the learning rate goes.

    Mask R-CNN on Cityscapes (detectron2's, batch size 8) takes 24,000 iterations of SGD, lr 0.01, momentum 0.9,
    weight_decay 0.0001; its other options are in brackets.

    Attributes:
        course: of the learning rate. ``"step"``: a tenth of it from each milestone on. ``"poly"``: down to zero as a
            power of what is left. ``"one_cycle"``: up and down again along cosines (Smith & Topin, 2019), the momentum
            left as it is [step].
        warmup: steps over which the learning rate rises at first, linearly from a thousandth; for a one-cycle course,
            along the cosine from a twenty-fifth [1,000].
        milestones: steps at which a ``"step"`` course falls [18,000].
        flip: whether to mirror images at random, left to right.
        jitter: whether to change brightness, contrast and saturation at random.
        clip: norm to which the gradient of all weights is clipped, or None.
    """

    course: str = "step"
    milestones: tuple[int, ...] = ()
    flip: bool = True
    clip: float | None = None

    def build_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser of these weights.

        Raises:
            InputError: there is no such optimiser, or it does not take its options.
        """
        options = self.optimizer_options()
        name = options.pop("type")
        try:
            optimizer: torch.optim.Optimizer = getattr(torch.optim, name)(parameters, **options)
        except (TypeError, ValueError) as error:
            raise InputError(f"schedule.optimizer: {name} does not take these options ({error})") from error
        return optimizer

    def factor(self, step: int) -> float:
        """Return what the learning rate of a step (counted from 0) is multiplied by."""
        if self.course == "one_cycle":
            if step < self.warmup:
                return _cosine(1 / 25, 1.0, step / self.warmup)
            return _cosine(1.0, 0.0, (step - self.warmup) / (self.iterations - self.warmup))
        warm = min(1.0, 1e-3 + (1 - 1e-3) * step / self.warmup) if self.warmup else 1.0
        if self.course == "poly":
            left = 1 - max(0, step - self.warmup) / (self.iterations - self.warmup)
            return float(warm * left**self.power)
        return float(warm * 0.1 ** sum(step >= milestone for milestone in self.milestones))

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones or ()))
        super().__post_init__()

    def _check(self) -> None:
        super()._check()
        if self.course not in _COURSES:
            raise unknown_name("course of the learning rate (schedule.course)", self.course, _COURSES)
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"schedule.clip is {self.clip}; it must be above 0, or null")
        self.build_optimizer([nn.Parameter(torch.zeros(1))])


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
