"""The public function: check, choose an implementation, call it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from contrastbench.core.errors import unknown_name
from contrastbench.core.ops.sampled_infonce import chunked, reference

_IMPLEMENTATIONS = {"reference": reference, "chunked": chunked}


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
        keys: tables of keys ``[M_t, D]`` (float), counted through from the first to the last. One that asks
            for no gradient may be overwritten before the backward pass.
        positives: ``[A, P]`` (int64), indices of keys; -1 for none.
        negatives: ``[A, K]`` (int64), likewise.
        temperature: tau, above 0.
        impl: ``"reference"`` (gathers all keys), ``"chunked"`` (bounded memory), or None for the best.

    Returns:
        ``[A]`` (float), the mean over the anchor's positives; 0 for an anchor without positives or negatives.
    """
    if impl is not None and impl not in _IMPLEMENTATIONS:
        raise unknown_name("implementation", impl, _IMPLEMENTATIONS)
    if temperature <= 0:
        raise ValueError(f"the temperature is above 0, not {temperature}")
    if anchors.ndim != 2 or any(k.ndim != 2 or k.shape[1] != anchors.shape[1] for k in keys):
        raise ValueError(
            f"anchors are [A, D] and keys [M, D]; got {list(anchors.shape)} and {[list(k.shape) for k in keys]}"
        )
    if len(positives) != len(anchors) or len(negatives) != len(anchors):
        raise ValueError(f"indices have a row an anchor ({len(anchors)}); got {len(positives)} and {len(negatives)}")
    with torch.autocast(anchors.device.type, enabled=False):
        anchors = anchors if anchors.dtype == torch.float64 else anchors.float()
        tables = [k.to(anchors.dtype) for k in keys]
        return _IMPLEMENTATIONS[impl or "chunked"].sampled_infonce(anchors, tables, positives, negatives, temperature)
