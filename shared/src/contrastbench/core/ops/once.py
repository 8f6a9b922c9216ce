"""For ops whose gradient is formed on the way to their value: it is right once, and a second derivative raises."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, value: Tensor) -> Tensor:
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        raise RuntimeError("there is no second derivative of this implementation; ask for impl='reference'")


def once(grad: Tensor, value: Tensor) -> Tensor:
    """Return the gradient that arrives at an op's value, in a way that refuses to be differentiated.

    Args:
        grad: of the value.
        value: as the op returned it, saved for its backward pass: what it depends on, the refusal is for.
    """
    refusing: Tensor = _Once.apply(grad, value)
    return refusing
