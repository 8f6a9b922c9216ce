"""The public functions: check, choose an implementation, call it.

Shapes: A anchors, C classes, M_c keys of class c, D their size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.choice import Objection, choose, fits, needs_triton

# The largest D whose gradient, [64, D] or [128, D] in float32, fits the registers of one program.
_LARGEST_DIM = 256


def _triton_objections(anchors: Tensor, *rest: Tensor) -> str | None:
    why = needs_triton(anchors, *rest)
    if why is None and any(t.dtype == torch.float64 for t in (anchors, *rest)):
        why = "a tensor is float64 and the kernels accumulate in float32"
    if why is None and not 1 <= anchors.shape[1] <= _LARGEST_DIM:
        why = f"the kernels hold at most {_LARGEST_DIM} dimensions, not {anchors.shape[1]}"
    return why


_OBJECTIONS: Mapping[str, Objection] = {"triton": _triton_objections, "blockwise": fits, "reference": fits}


def _implementation(
    anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float, impl: str | None
) -> ModuleType:
    if temperature <= 0:
        raise InputError(f"the temperature is above 0, not {temperature}")
    if anchors.ndim != 2 or labels.shape != anchors.shape[:1]:
        raise InputError(f"anchors are [A, D] and labels [A]; got {list(anchors.shape)} and {list(labels.shape)}")
    for c, block in enumerate(keys):
        if block.ndim != 2 or block.shape[1] != anchors.shape[1]:
            raise InputError(f"keys of class {c} are [M, {anchors.shape[1]}]; got {list(block.shape)}")
        if block.requires_grad:
            raise InputError(f"keys carry no gradient here; detach those of class {c}")
    # A compiled graph has no place to look at values.
    if len(labels) and not torch.compiler.is_compiling():
        lowest, highest = (int(x) for x in labels.aminmax())
        if not 0 <= lowest <= highest < len(keys):
            raise InputError(f"labels are in 0..{len(keys) - 1}, one block of keys a class; got {lowest}..{highest}")
    return choose(__package__, impl, _OBJECTIONS, anchors, labels, *keys)


def _full_precision(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def negative_logsumexp(
    anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float, *, impl: str | None = None
) -> Tensor:
    """Return the log of the summed exponentials over each anchor's negatives (Z_i of the README).

    Args:
        anchors: ``[A, D]`` (float), differentiable; computed in float32 at least, autocast or not.
        labels: ``[A]`` (int64), the class of each anchor.
        keys: for each class its keys ``[M_c, D]`` (float), without gradient. ``M_c`` may be 0. Kernels read them where
            they lie; with float16 or bfloat16 keys their products are of that type, accumulated in float32.
        temperature: tau, above 0.
        impl: ``"reference"`` (all similarities at once), ``"blockwise"`` (bounded memory), ``"triton"`` (kernels), or
            None for the best.

    Returns:
        ``[A]`` (float), -inf for an anchor without negatives.

    Raises:
        InputError: shapes, labels or temperature are not as above, or the implementation does not fit them. Labels are
            not looked at in a compiled graph.
    """
    chosen = _implementation(anchors, labels, keys, temperature, impl)
    with torch.autocast(anchors.device.type, enabled=False):
        return chosen.negative_logsumexp(_full_precision(anchors), labels, keys, temperature)


def positive_terms(
    anchors: Tensor,
    labels: Tensor,
    keys: Sequence[Tensor],
    log_negatives: Tensor,
    temperature: float,
    *,
    impl: str | None = None,
) -> Tensor:
    """Return the sum over each anchor's positives of ``-log(e^s / (e^s + e^Z))``.

    Args:
        anchors: ``[A, D]`` (float), differentiable; computed in float32 at least, autocast or not.
        labels: ``[A]`` (int64), the class of each anchor.
        keys: for each class its keys ``[M_c, D]`` (float), without gradient. ``M_c`` may be 0.
        log_negatives: ``[A]`` (float), Z_i of the README, differentiable; may be -inf.
        temperature: tau, above 0.
        impl: as in :func:`negative_logsumexp`.

    Returns:
        ``[A]`` (float), 0 for an anchor without positives.

    Raises:
        InputError: as in :func:`negative_logsumexp`.
    """
    chosen = _implementation(anchors, labels, keys, temperature, impl)
    with torch.autocast(anchors.device.type, enabled=False):
        return chosen.positive_terms(
            _full_precision(anchors), labels, keys, _full_precision(log_negatives), temperature
        )
