"""No step is taken on a loss that is not a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class NonFiniteLossError(FloatingPointError):
    """A loss was NaN or infinite. The message names the step, the loss and what was not finite before it."""


def require_finite(losses: Mapping[str, Any], tensors: Mapping[str, Tensor], step: int) -> None:
    """Stop when a loss is not finite.

    Args:
        losses: scalars, or lists of them, by name; entries whose name contains ``loss`` are checked, as these are
            the ones that hosts add up.
        tensors: what went into them, looked at only after a failure, to name the first cause.
        step: the training step, from 1.

    Raises:
        NonFiniteLossError: some loss is NaN or infinite.
    """
    terms = {
        name: torch.stack([part.detach().float().mean() for part in (value if isinstance(value, list) else [value])])
        for name, value in losses.items()
        if "loss" in name
    }
    # One transfer from the device for all of them.
    if not terms or bool(torch.cat(list(terms.values())).isfinite().all()):
        return
    bad = [f"{name} is {value.sum().item()}" for name, value in terms.items() if not bool(value.isfinite().all())]
    causes = [name for name, tensor in tensors.items() if not bool(tensor.detach().isfinite().all())]
    before = f"{' and '.join(causes)} not finite before it" if causes else "its inputs are finite"
    raise NonFiniteLossError(f"step {step}: {', '.join(bad)} ({before}); stopped before this step changed any weight")
