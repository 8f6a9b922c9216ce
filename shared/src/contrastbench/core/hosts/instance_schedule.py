"""How long, how fast and on what crops an instance segmentation network is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import nn

from contrastbench.core.errors import InputError, unknown_name

_COURSES = ("one_cycle", "poly", "step")


@dataclass(frozen=True)
class InstanceSchedule:
    """The options under ``schedule``. Those of Mask R-CNN on Cityscapes are in brackets (detectron2's, batch size 8).

    Attributes:
        iterations: training steps [24,000].
        batch_size: images a step, over all ranks [8].
        optimizer: ``type``, a class of ``torch.optim``, and its options [SGD, lr 0.01, momentum 0.9, weight_decay
            0.0001].
        course: of the learning rate. ``"step"``: a tenth of it from each milestone on. ``"poly"``: down to zero as a
            power of what is left. ``"one_cycle"``: up and down again along cosines (Smith & Topin, 2019), the momentum
            left as it is [step].
        warmup: steps over which the learning rate rises at first, linearly from a thousandth; for a one-cycle course,
            along the cosine from a twenty-fifth [1,000].
        milestones: steps at which a ``"step"`` course falls [18,000].
        power: of a ``"poly"`` course.
        crop: height and width of the crops; None for whole images.
        scale: range of the random resizing before the crop, relative to the image.
        flip: whether to mirror images at random, left to right.
        jitter: whether to change brightness, contrast and saturation at random.
        clip: norm to which the gradient of all weights is clipped, or None.
        amp: half precision on a GPU.
        val_batch_size: images evaluated at once.
        checkpoint_every: steps between checkpoints; None for a tenth of the run, 1,000 at most.
        workers: loading processes; 0 loads in the training process.
    """

    iterations: int
    batch_size: int
    optimizer: Mapping[str, Any]
    course: str = "step"
    warmup: int = 0
    milestones: tuple[int, ...] = ()
    power: float = 0.9
    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = True
    jitter: bool = False
    clip: float | None = None
    amp: bool = False
    val_batch_size: int = 1
    checkpoint_every: int | None = None
    workers: int = 0

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Self:
        """Return the schedule that a mapping gives.

        Raises:
            InputError: an option is unknown, missing or impossible.
        """
        known = {field.name: field for field in fields(cls)}
        for name in options:
            if name not in known:
                raise unknown_name("option of schedule", name, known)
        missing = [name for name in ("iterations", "batch_size", "optimizer") if name not in options]
        if missing:
            raise InputError(f"schedule lacks {', '.join(missing)}; add schedule.{missing[0]}=...")
        schedule = cls(
            **{
                **options,
                "scale": tuple(options.get("scale") or cls.scale),
                "milestones": tuple(options.get("milestones") or ()),
                "crop": _crop(options),
            }
        )
        schedule._check()
        return schedule

    @property
    def interval(self) -> int:
        """Steps between checkpoints."""
        return self.checkpoint_every or min(1000, max(1, self.iterations // 10))

    def build_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser of these weights.

        Raises:
            InputError: there is no such optimiser, or it does not take its options.
        """
        options = dict(self.optimizer)
        name = str(options.pop("type", None))
        optimizers = {n for n, value in vars(torch.optim).items() if isinstance(value, type)} - {"Optimizer"}
        if name not in optimizers:
            raise unknown_name("optimizer (schedule.optimizer.type)", name, optimizers)
        if name in ("Adam", "AdamW", "SGD"):
            options.setdefault("fused", True)  # one call for all weights: the small networks have hundreds of tensors
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

    def _check(self) -> None:
        for name in ("iterations", "batch_size", "val_batch_size", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(f"schedule.{name} is {value!r}; it must be a whole number, 1 or more")
        if self.course not in _COURSES:
            raise unknown_name("course of the learning rate (schedule.course)", self.course, _COURSES)
        if not 0 <= self.warmup < self.iterations:
            raise InputError(f"schedule.warmup is {self.warmup}; it must be below schedule.iterations")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"schedule.clip is {self.clip}; it must be above 0, or null")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
            raise InputError(f"schedule.scale is {list(self.scale)}; it must be [smallest, largest], above 0")
        self.build_optimizer([nn.Parameter(torch.zeros(1))])


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _crop(options: Mapping[str, Any]) -> tuple[int, int] | None:
    crop = options.get("crop")
    if crop is None:
        return None
    if len(crop) != 2 or not all(isinstance(side, int) and side > 0 for side in crop):
        raise InputError(f"schedule.crop is {list(crop)}; it must be [height, width] in pixels")
    return crop[0], crop[1]
