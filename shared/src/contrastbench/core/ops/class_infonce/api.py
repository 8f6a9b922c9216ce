"""The public functions: check, choose an implementation, call it.

Shapes: A anchors, C classes, M_c keys of class c, D their size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from contrastbench.core.errors import unknown_name
from contrastbench.core.ops.class_infonce import blockwise, reference

_IMPLEMENTATIONS = {"reference": reference, "blockwise": blockwise}


def _check(anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float, impl: str | None) -> None:
    if impl is not None and impl not in _IMPLEMENTATIONS:
        raise unknown_name("implementation", impl, _IMPLEMENTATIONS)
    if temperature <= 0:
        raise ValueError(f"the temperature is above 0, not {temperature}")
    if anchors.ndim != 2 or labels.shape != anchors.shape[:1]:
        raise ValueError(f"anchors are [A, D] and labels [A]; got {list(anchors.shape)} and {list(labels.shape)}")
    for c, block in enumerate(keys):
        if block.ndim != 2 or block.shape[1] != anchors.shape[1]:
            raise ValueError(f"keys of class {c} are [M, {anchors.shape[1]}]; got {list(block.shape)}")
        if block.requires_grad:
            raise ValueError(f"keys carry no gradient here; detach those of class {c}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(keys):
        raise ValueError(f"labels are in 0..{len(keys) - 1}, one block of keys a class")


def _full_precision(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def negative_logsumexp(
    anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float, *, impl: str | None = None
) -> Tensor:
    """Return the log of the summed exponentials over each anchor's negatives (Z_i of the README).

    Args:
        anchors: ``[A, D]`` (float), differentiable; computed in float32 at least, autocast or not.
        labels: ``[A]`` (int64), the class of each anchor.
        keys: for each class its keys ``[M_c, D]`` (float), without gradient. ``M_c`` may be 0.
        temperature: tau, above 0.
        impl: ``"reference"`` (all similarities at once), ``"blockwise"`` (bounded memory), or None for the best.

    Returns:
        ``[A]`` (float), -inf for an anchor without negatives.
    """
    _check(anchors, labels, keys, temperature, impl)
    with torch.autocast(anchors.device.type, enabled=False):
        return _IMPLEMENTATIONS[impl or "blockwise"].negative_logsumexp(
            _full_precision(anchors), labels, keys, temperature
        )


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
    """
    _check(anchors, labels, keys, temperature, impl)
    with torch.autocast(anchors.device.type, enabled=False):
        return _IMPLEMENTATIONS[impl or "blockwise"].positive_terms(
            _full_precision(anchors), labels, keys, _full_precision(log_negatives), temperature
        )
