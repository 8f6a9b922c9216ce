"""How long, how fast and on what crops any network is trained: what the schedules of all hosts have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import nn

from contrastbench.core.errors import InputError, require_number, unknown_name


@dataclass(frozen=True)
class Schedule:
    """The options under ``schedule`` that every host takes.

    Attributes:
        iterations: training steps.
        batch_size: images a step, over all ranks.
        optimizer: ``type``, a class of ``torch.optim``, and its options.
        power: of the polynomial decay of the learning rate to zero.
        warmup: steps over which the learning rate rises at first.
        crop: height and width of the crops; None for whole images.
        scale: range of the random resizing before the crop, relative to the image.
        jitter: whether to change the colours of images at random.
        amp: half precision on a GPU.
        val_batch_size: images evaluated at once.
        checkpoint_every: steps between checkpoints; None for a tenth of the run, 1,000 at most.
        workers: loading processes; 0 loads in the training process.

    Raises:
        InputError: an option is impossible.
    """

    iterations: int
    batch_size: int
    optimizer: Mapping[str, Any]
    power: float = 0.9
    warmup: int = 0
    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    jitter: bool = False
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
        known = {field.name for field in fields(cls)}
        for name in options:
            if name not in known:
                raise unknown_name("option of schedule", name, known)
        missing = [name for name in ("iterations", "batch_size", "optimizer") if name not in options]
        if missing:
            raise InputError(f"schedule lacks {', '.join(missing)}; add schedule.{missing[0]}=...")
        return cls(**options)

    @property
    def interval(self) -> int:
        """Steps between checkpoints."""
        return self.checkpoint_every or min(1000, max(1, self.iterations // 10))

    def optimizer_options(self) -> dict[str, Any]:
        """Return ``type`` and the options of the optimiser, fused where torch has it so.

        Raises:
            InputError: there is no such optimiser.
        """
        if not isinstance(self.optimizer, Mapping):
            raise InputError(
                f"schedule.optimizer is {self.optimizer!r}; give its type and options, as in {{type: SGD, lr: 0.01}}"
            )
        options = dict(self.optimizer)
        name = str(options.get("type"))
        optimizers = {n for n, value in vars(torch.optim).items() if isinstance(value, type)} - {"Optimizer"}
        if name not in optimizers:
            raise unknown_name("optimizer (schedule.optimizer.type)", name, optimizers)
        if name in ("Adam", "AdamW", "SGD"):
            options.setdefault("fused", True)  # one call for all weights: the small networks have hundreds of tensors
        return options

    def build_optimizer(self, parameters: Iterable[Any]) -> torch.optim.Optimizer:
        """Return the optimiser of these weights, or groups of weights.

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

    def __post_init__(self) -> None:
        # Files have lists, and null for what is left as it is.
        object.__setattr__(self, "scale", as_tuple(self.scale or type(self).scale))
        object.__setattr__(self, "crop", None if self.crop is None else as_tuple(self.crop))
        self._check()

    def _check(self) -> None:
        for name in ("iterations", "batch_size", "val_batch_size", "checkpoint_every"):
            if name != "checkpoint_every" or self.checkpoint_every is not None:
                require_number(f"schedule.{name}", getattr(self, name), least=1, whole=True)
        for name in ("warmup", "workers"):
            require_number(f"schedule.{name}", getattr(self, name), whole=True)
        require_number("schedule.power", self.power)
        if self.warmup >= self.iterations:
            raise InputError(f"schedule.warmup is {self.warmup}; it must be below schedule.iterations")
        if self.crop is not None and (
            len(self.crop) != 2 or not all(isinstance(side, int) and side > 0 for side in self.crop)
        ):
            raise InputError(f"schedule.crop is {list(self.crop)}; it must be [height, width] in pixels")
        numbers = len(self.scale) == 2 and all(isinstance(factor, (int, float)) for factor in self.scale)
        if not numbers or not 0 < self.scale[0] <= self.scale[1]:
            raise InputError(f"schedule.scale is {list(self.scale)}; it must be [smallest, largest], above 0")
        self.build_optimizer([nn.Parameter(torch.zeros(1))])


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a list out of a file as a tuple, one entry by itself as a tuple of it, and null as an empty one."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
