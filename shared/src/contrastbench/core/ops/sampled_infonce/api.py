"""The public function: check, choose an implementation, call it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.choice import Objection, choose, fits, needs_triton


def _not_triton(anchors: Tensor, *others: Tensor) -> str | None:
    """Say what speaks against the kernel: float64, or rows too long for a program's registers."""
    if any(tensor.dtype == torch.float64 for tensor in (anchors, *others)):
        return "it computes in float32 and a tensor is float64; convert it, or ask for 'chunked'"
    if anchors.shape[1] > 4096:
        return f"it takes up to 4,096 dimensions, not {anchors.shape[1]}; ask for 'chunked'"
    return needs_triton(anchors, *others)


_OBJECTIONS: dict[str, Objection] = {"triton": _not_triton, "chunked": fits, "reference": fits}


def sampled_infonce(
    anchors: Tensor,
    keys: Sequence[Tensor],
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
    *,
    impl: str | None = None,
) -> Tensor:
    """Return each anchor's InfoNCE against the keys chosen for it (Wang et al., ICCV 2021, Eq. 3).

    Shapes: A anchors, D dimensions, M keys in all tables together.

    Args:
        anchors: ``[A, D]`` (float), differentiable; computed in float32 at least, autocast or not.
        keys: tables of keys ``[M_t, D]`` (float16, bfloat16, float32 or float64, each its own), counted through
            from the first to the last. One that asks for no gradient may be overwritten before the backward pass.
        positives: ``[A, P]`` (int64), indices of keys; -1 for none.
        negatives: ``[A, K]`` (int64), likewise.
        temperature: tau, above 0.
        impl: ``"reference"`` (gathers all keys), ``"chunked"`` (bounded memory), ``"triton"`` (the kernels: float32
            on a GPU, half-precision keys read as they are), or None for the best that fits the tensors.

    Returns:
        ``[A]`` (float), the mean over the anchor's positives; 0 for an anchor without positives or negatives.

    Raises:
        InputError: a shape or the temperature is not as above, or the implementation is unknown or does not fit these
            tensors.
    """
    if temperature <= 0:
        raise InputError(f"the temperature is above 0, not {temperature}")
    if anchors.ndim != 2 or any(k.ndim != 2 or k.shape[1] != anchors.shape[1] for k in keys):
        raise InputError(
            f"anchors are [A, D] and keys [M, D]; got {list(anchors.shape)} and {[list(k.shape) for k in keys]}"
        )
    if len(positives) != len(anchors) or len(negatives) != len(anchors):
        raise InputError(f"indices have a row an anchor ({len(anchors)}); got {len(positives)} and {len(negatives)}")
    with torch.autocast(anchors.device.type, enabled=False):
        anchors = anchors if anchors.dtype == torch.float64 else anchors.float()
        chosen = choose(__package__, impl, _OBJECTIONS, anchors, positives, negatives, *keys)
        return cast(Tensor, chosen.sampled_infonce(anchors, list(keys), positives, negatives, temperature))
