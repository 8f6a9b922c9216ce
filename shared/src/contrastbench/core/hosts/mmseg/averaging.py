"""A running mean of the weights."""

from __future__ import annotations

import torch
from torch import nn

from contrastbench.core.hosts.mmseg.seat import exported_state


class WeightAverage:
    """An exponential moving average of everything that is exported, statistics of normalisation included.

    The objective's parts are left out: they are not evaluated, and a memory bank is large. At first the mean is
    over fewer steps than the momentum says, so that the initial weights do not linger.

    Args:
        model: the segmentor.
        momentum: share of the mean that is kept at a step.
    """

    def __init__(self, model: nn.Module, momentum: float) -> None:
        self.momentum = momentum
        self.mean = {name: value.detach().clone() for name, value in exported_state(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` (counted from 1)."""
        kept = min(self.momentum, (1 + step) / (10 + step))
        current = exported_state(model)
        floats = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.mean[name] for name in floats], [current[name] for name in floats], 1 - kept)
        for name in current.keys() - set(floats):
            self.mean[name].copy_(current[name])
