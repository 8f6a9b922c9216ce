"""The public function: check, choose an implementation, call it.

Shapes: A anchors, D their size, M_t keys of table t, S draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.choice import choose, fits, needs_triton
from contrastbench.core.ops.top_fraction.priorities import seed_words

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Draw(NamedTuple):
    """What is drawn: ``k`` keys of the anchor's own class or of all others, out of the farthest or the nearest."""

    k: int
    own: bool
    farthest: bool


def _needs_triton(*tensors: Tensor) -> str | None:
    if any(t.dtype == torch.float64 for t in tensors):
        return "a tensor is float64 and the kernels compute in float32; use float32, or ask for another one"
    return needs_triton(*tensors)


def kernels_fit(*tensors: Tensor) -> bool:
    """Return whether the kernels can and should be used: the tensors are on a GPU, of types the kernels know."""
    return all(t.is_cuda for t in tensors) and _needs_triton(*tensors) is None


# The best first. The names are those of the modules beside this file.
_OBJECTIONS = {"triton": _needs_triton, "blockwise": fits, "reference": fits}


@torch.no_grad()
def top_fraction(
    anchors: Tensor,
    labels: Tensor,
    keys: Sequence[Tensor],
    key_labels: Sequence[Tensor],
    draws: Sequence[Draw],
    seeds: Tensor,
    *,
    fraction: float = 0.1,
    eligible: Tensor | None = None,
    impl: str | None = None,
) -> tuple[Tensor, ...]:
    """Draw keys at random among the nearest or farthest part of those each anchor may meet.

    Wang et al. (ICCV 2021, section 3.2) draw positives from the farthest tenth of the anchor's class, and negatives
    from the nearest tenth of all other classes. Near is a large inner product, computed in float32 (float64 where
    the anchors are). Of ``n`` keys, the part is the ``ceil(fraction * n)`` first; of equal ones, those of lower index.
    Each of the part is as likely to be drawn, none twice.

    Args:
        anchors: ``[A, D]`` (float), finite.
        labels: ``[A]`` (int64).
        keys: tables of keys ``[M_t, D]`` (float), finite, counted through from the first to the last.
        key_labels: for each table ``[M_t]`` (int64); negative for a slot that holds nothing.
        draws: what is drawn for each anchor.
        seeds: ``[A, S]`` (int64). What is drawn depends on the seed, the anchor and the keys alone; anchors with the
            same seed prefer the same keys (see :func:`class_seeds`).
        fraction: the part to draw from, in (0, 1].
        eligible: ``[A, M_0]`` (bool), which keys of the first table an anchor may meet; None for all.
        impl: ``"reference"`` (all similarities at once, sorted), ``"blockwise"`` (bounded memory), ``"triton"`` (the
            same in kernels, on CUDA), or None for the best that fits.

    Returns:
        For each draw ``[A, k]`` (int64): indices in ascending order, then -1 where there are fewer.

    Raises:
        InputError: shapes or types that do not fit each other, an unknown implementation, or one that cannot be used
            with these tensors.
    """
    _check(anchors, labels, keys, key_labels, draws, seeds, fraction, eligible)
    tensors = [anchors, labels, *keys, *key_labels, seeds, *([] if eligible is None else [eligible])]
    module = choose(__package__, impl, _OBJECTIONS, *tensors)
    with torch.autocast(anchors.device.type, enabled=False):
        chosen: Tensor = module.top_fraction(
            anchors.detach(),
            labels,
            [k.detach() for k in keys],
            list(key_labels),
            list(draws),
            seed_words(seeds),
            float(fraction),
            eligible,
        )
    return chosen.split([draw.k for draw in draws], 1)


def _check(
    anchors: Tensor,
    labels: Tensor,
    keys: Sequence[Tensor],
    key_labels: Sequence[Tensor],
    draws: Sequence[Draw],
    seeds: Tensor,
    fraction: float,
    eligible: Tensor | None,
) -> None:
    if anchors.ndim != 2 or not keys or any(k.ndim != 2 or k.shape[1] != anchors.shape[1] for k in keys):
        raise InputError(
            "top_fraction: anchors are [A, D] and there is at least one table of keys [M, D]; "
            f"got {list(anchors.shape)} and {[list(k.shape) for k in keys]}"
        )
    if any(t.dtype not in _FLOATS for t in (anchors, *keys)):
        raise InputError(f"top_fraction: anchors and keys are floats; got {[t.dtype for t in (anchors, *keys)]}")
    if labels.shape != anchors.shape[:1] or [x.shape for x in key_labels] != [k.shape[:1] for k in keys]:
        raise InputError(
            f"top_fraction: there is a label for each of {len(anchors)} anchors and of {[len(k) for k in keys]} keys; "
            f"got {list(labels.shape)} and {[list(x.shape) for x in key_labels]}"
        )
    if any(x.dtype != torch.int64 for x in (labels, *key_labels, seeds)):
        raise InputError("top_fraction: labels and seeds are int64; convert them with .long()")
    if not draws or any(draw.k < 0 for draw in draws):
        raise InputError(f"top_fraction: there is at least one draw, of 0 keys or more; got {list(draws)}")
    if seeds.shape != (len(anchors), len(draws)):
        raise InputError(f"top_fraction: seeds are [A, S], here {[len(anchors), len(draws)]}; got {list(seeds.shape)}")
    if not 0 < fraction <= 1:
        raise InputError(f"top_fraction: fraction is a part of the keys in (0, 1], not {fraction}")
    if sum(len(k) for k in keys) >= 1 << 30:
        raise InputError(f"top_fraction: keys are fewer than 2^30 in all tables, not {sum(len(k) for k in keys)}")
    if eligible is not None and (eligible.shape != (len(anchors), len(keys[0])) or eligible.dtype != torch.bool):
        raise InputError(
            f"top_fraction: eligible is bool [A, M_0], here {[len(anchors), len(keys[0])]}; "
            f"got {eligible.dtype} {list(eligible.shape)}"
        )
