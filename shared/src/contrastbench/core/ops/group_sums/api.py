"""The public function: check, choose an implementation, call it.

Shapes: n values of D dimensions, m members, G groups.
"""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.choice import choose, fits, needs_triton

_IMPLEMENTATIONS = {"triton": needs_triton, "bags": fits, "reference": fits}


def _check(values: Tensor, offsets: Tensor, rows: Tensor | None, weights: Tensor | None) -> None:
    if values.ndim != 2 or not values.is_floating_point():
        raise InputError(f"values: a floating tensor [n, D] was expected, not {values.dtype} {list(values.shape)}")
    members = len(values) if rows is None else len(rows)
    for name, places in (("offsets", offsets), ("rows", rows)):
        if places is not None and (places.ndim != 1 or places.dtype != torch.int64):
            raise InputError(f"{name}: int64 in one dimension was expected, not {places.dtype} {list(places.shape)}")
    if weights is not None and (weights.shape != (members,) or not weights.is_floating_point()):
        raise InputError(f"weights: floating [{members}] was expected, not {weights.dtype} {list(weights.shape)}")
    for name, other in (("offsets", offsets), ("rows", rows), ("weights", weights)):
        if other is not None and other.device != values.device:
            raise InputError(f"{name} are on '{other.device}' and values on '{values.device}'; move one of them")


@torch.no_grad()
def group_sums(
    values: Tensor,
    offsets: Tensor,
    rows: Tensor | None = None,
    weights: Tensor | None = None,
    *,
    impl: str | None = None,
) -> Tensor:
    """Return the weighted sum of each group's members, in an order of summation that is the same every time.

    Args:
        values: ``[n, D]``, any floating dtype; not copied.
        offsets: ``[G]`` (int64), where each group's members start in ``rows``: rising from 0 to at most m. The last
            group goes on to the end.
        rows: ``[m]`` (int64), from 0 to n - 1, which rows of values the members are, group after group; where omitted,
            the rows themselves lie so and m is n. Neither is checked for its range.
        weights: ``[m]`` (float), one a member; 1 where omitted.
        impl: ``"reference"`` (a loop over groups), ``"bags"`` (torch's embedding bag), ``"triton"`` (a kernel that
            shares the members of large groups out), or None for the best that fits the tensors.

    Returns:
        ``[G, D]``, float64 of float64 values and float32 of others, without gradient; 0 for a group without members.

    Raises:
        InputError: shapes, types or devices that do not fit; an implementation unknown or not for these tensors.
    """
    _check(values, offsets, rows, weights)
    if weights is not None:
        weights = weights.to(torch.promote_types(values.dtype, torch.float32))
    if not len(offsets) or not values.shape[1]:
        return values.new_zeros((len(offsets), values.shape[1]), dtype=torch.promote_types(values.dtype, torch.float32))
    module = choose(__package__, impl, _IMPLEMENTATIONS, values, offsets)
    sums: Tensor = module.group_sums(values, offsets, rows, weights)
    return sums
