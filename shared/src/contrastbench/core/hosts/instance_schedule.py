"""How long, how fast and on what crops an instance segmentation network is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from contrastbench.core.errors import InputError, require_number, unknown_name
from contrastbench.core.hosts.schedule import Schedule, as_tuple

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
        object.__setattr__(self, "milestones", as_tuple(self.milestones))
        super().__post_init__()

    def _check(self) -> None:
        super()._check()
        if self.course not in _COURSES:
            raise unknown_name("course of the learning rate (schedule.course)", self.course, _COURSES)
        if not all(isinstance(milestone, int) for milestone in self.milestones):
            raise InputError(f"schedule.milestones is {list(self.milestones)}; it must be a list of steps")
        if self.clip is not None:
            require_number("schedule.clip", self.clip, above=0)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
