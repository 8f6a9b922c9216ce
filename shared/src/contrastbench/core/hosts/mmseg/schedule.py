"""How long, how fast and on what crops a network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from contrastbench.core.errors import InputError, unknown_name
from contrastbench.core.hosts.mmseg.transforms import META_KEYS


@dataclass(frozen=True)
class Schedule:
    """The options under ``schedule``. The paper's are in brackets.

    Attributes:
        iterations: training steps [40,000].
        batch_size: images a step, over all ranks [8].
        optimizer: ``type``, a class of ``torch.optim``, and its options [SGD, lr 0.01, momentum 0.9, weight_decay
            0.0005].
        power: of the polynomial decay of the learning rate to zero [0.9].
        warmup: steps over which the learning rate rises linearly at first.
        crop: height and width of the crops [512, 1024]; None for the size of the images.
        scale: range of the random resizing before the crop.
        jitter: whether to change brightness, contrast, saturation and hue at random.
        average: momentum of the running mean of the weights that is evaluated, such as 0.999; None evaluates the last.
        amp: half precision on a GPU.
        val_batch_size: images evaluated at once; they must be the same size.
        checkpoint_every: steps between checkpoints; None for a tenth of the run, 1,000 at most.
        workers: loading processes; 0 loads in the training process.
    """

    iterations: int
    batch_size: int
    optimizer: Mapping[str, Any]
    power: float = 0.9
    warmup: int = 0
    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (0.5, 2.0)
    jitter: bool = True
    average: float | None = None
    amp: bool = False
    val_batch_size: int = 1
    checkpoint_every: int | None = None
    workers: int = 0

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Schedule:
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
        schedule = cls(**{**options, "scale": tuple(options.get("scale") or cls.scale), "crop": _crop(options)})
        for name in ("iterations", "batch_size", "val_batch_size", "checkpoint_every"):
            value = getattr(schedule, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(f"schedule.{name} is {value!r}; it must be a whole number, 1 or more")
        if not 0 <= schedule.warmup < schedule.iterations:
            raise InputError(f"schedule.warmup is {schedule.warmup}; it must be below schedule.iterations")
        if schedule.average is not None and not 0 < schedule.average < 1:
            raise InputError(f"schedule.average is {schedule.average}; it must be between 0 and 1, or null")
        if len(schedule.scale) != 2 or not 0 < schedule.scale[0] <= schedule.scale[1]:
            raise InputError(f"schedule.scale is {list(schedule.scale)}; it must be [smallest, largest], above 0")
        schedule.optimizer_config()
        return schedule

    @property
    def interval(self) -> int:
        """Steps between checkpoints."""
        return self.checkpoint_every or min(1000, max(1, self.iterations // 10))

    def optimizer_config(self) -> dict[str, Any]:
        """Return the optimiser as mmengine builds it.

        Raises:
            InputError: there is no such optimiser.
        """
        options = dict(self.optimizer)
        name = options.get("type")
        optimizers = {n for n, value in vars(torch.optim).items() if isinstance(value, type)} - {"Optimizer"}
        if name not in optimizers:
            raise unknown_name("optimizer (schedule.optimizer.type)", str(name), optimizers)
        if name in ("Adam", "AdamW", "SGD"):
            options.setdefault("fused", True)  # one call for all weights: the small networks have hundreds of tensors
        return options

    def learning_rate_config(self) -> list[dict[str, Any]]:
        """Return the learning rate's course as mmengine builds it."""
        course = [
            {
                "type": "PolyLR",
                "power": self.power,
                "eta_min": 0.0,
                "begin": self.warmup,
                # mmengine reaches the end one step early, and would spend the last one at a rate of zero.
                "end": self.iterations + 1,
                "by_epoch": False,
            }
        ]
        if self.warmup:
            course.insert(
                0, {"type": "LinearLR", "start_factor": 1e-3, "begin": 0, "end": self.warmup, "by_epoch": False}
            )
        return course

    def pipeline(self, size: tuple[int, int], own_sizes: bool = False) -> list[dict[str, Any]]:
        """Return the augmentations, as mmsegmentation builds them.

        Args:
            size: height and width of the images, which without ``crop`` is that of the crops too.
            own_sizes: whether images may differ in size, each then resized by a factor on its own.
        """
        fixed = {"type": "RandomResize", "scale": (size[1], size[0])}
        return [
            {
                **({"type": "OwnSizeRandomResize"} if own_sizes else fixed),
                "ratio_range": self.scale,
                "keep_ratio": True,
            },
            {"type": "RandomCrop", "crop_size": self.crop or size, "cat_max_ratio": 0.75},
            {"type": "RandomFlip", "prob": 0.5},
            *([{"type": "PhotoMetricDistortion"}] if self.jitter else []),
            {"type": "PackSegInputs", "meta_keys": (*META_KEYS, "sample_idx")},
        ]


def _crop(options: Mapping[str, Any]) -> tuple[int, int] | None:
    crop = options.get("crop")
    if crop is None:
        return None
    if len(crop) != 2 or not all(isinstance(side, int) and side > 0 for side in crop):
        raise InputError(f"schedule.crop is {list(crop)}; it must be [height, width] in pixels")
    return crop[0], crop[1]
