"""Triton kernels that share a large group's members out in pieces, and add the pieces up in their order: no atomics."""

# mypy: disallow-untyped-defs=False

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from contrastbench.core.ops.choice import interpreted

# ruff: noqa: N803  constants of a kernel are written in capitals

_PIECE = 1024  # members summed by one program: of 6,000,000, as many programs as fill any GPU several times


@triton.jit
def pieces_kernel(
    values_ptr, rows_ptr, weights_ptr, starts_ptr, ends_ptr, partial_ptr, dim, stride_n, stride_d,
    HAS_ROWS: tl.constexpr, HAS_WEIGHTS: tl.constexpr,
    PIECE: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Sum the members from starts to ends of one piece, BLOCK_D dimensions of them, into partial ``[pieces, dim]``."""
    piece = tl.program_id(0).to(tl.int64)
    d = (tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)).to(tl.int64)
    start, end = tl.load(starts_ptr + piece), tl.load(ends_ptr + piece)
    total = tl.zeros((BLOCK_M, BLOCK_D), partial_ptr.dtype.element_ty)
    for first in range(0, PIECE, BLOCK_M):
        member = start + first + tl.arange(0, BLOCK_M)
        inside = member < end
        row = member
        if HAS_ROWS:
            row = tl.load(rows_ptr + member, mask=inside, other=0)
        place = values_ptr + row[:, None] * stride_n + d[None, :] * stride_d
        value = tl.load(place, mask=inside[:, None] & (d < dim)[None, :], other=0.0).to(total.dtype)
        if HAS_WEIGHTS:
            value *= tl.load(weights_ptr + member, mask=inside, other=0.0)[:, None]
        total += value
    tl.store(partial_ptr + piece * dim + d, tl.sum(total, 0), mask=d < dim)


@triton.jit
def groups_kernel(
    partial_ptr, upto_ptr, counts_ptr, out_ptr, dim, BLOCK_P: tl.constexpr, BLOCK_D: tl.constexpr
):  # fmt: skip
    """Sum the pieces of one group, which end before ``upto``, BLOCK_D dimensions of them, into out ``[G, dim]``."""
    group = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    upto, count = tl.load(upto_ptr + group), tl.load(counts_ptr + group).to(tl.int32)
    total = tl.zeros((BLOCK_P, BLOCK_D), out_ptr.dtype.element_ty)
    for first in range(0, count, BLOCK_P):
        at = first + tl.arange(0, BLOCK_P)
        place = partial_ptr + (upto - count + at)[:, None] * dim + d[None, :]
        total += tl.load(place, mask=(at < count)[:, None] & (d < dim)[None, :], other=0.0)
    tl.store(out_ptr + group * dim + d, tl.sum(total, 0), mask=d < dim)


@torch.library.custom_op("contrastbench::group_sums", mutates_args=())
def _group_sums(values: Tensor, offsets: Tensor, rows: Tensor | None, weights: Tensor | None) -> Tensor:
    dim, groups = values.shape[1], len(offsets)
    members = len(values) if rows is None else len(rows)
    dtype = torch.promote_types(values.dtype, torch.float32)
    out = torch.empty((groups, dim), dtype=dtype, device=values.device)
    ends = torch.cat([offsets[1:], offsets.new_full((1,), members)])
    size = 64 if interpreted() else _PIECE
    counts = (ends - offsets + size - 1) // size
    upto = counts.cumsum(0)
    # as many as there can be, so that the number need not be fetched from the device; those too many are empty
    piece = torch.arange(members // size + groups, device=values.device)
    group = torch.searchsorted(upto, piece, right=True).clamp_max_(groups - 1)
    starts = offsets[group] + (piece - upto[group] + counts[group]) * size
    stops = torch.minimum(starts + size, ends[group])
    partial = torch.empty((len(piece), dim), dtype=dtype, device=values.device)
    block_d = min(triton.next_power_of_2(dim), 64)
    block = 32 if interpreted() else max(1024 // block_d, 16)
    with torch.cuda.device_of(values):
        pieces_kernel[(len(piece), triton.cdiv(dim, block_d))](
            values,
            values if rows is None else rows.contiguous(),
            values if weights is None else weights.contiguous(),
            starts,
            stops,
            partial,
            dim,
            *values.stride(),
            HAS_ROWS=rows is not None,
            HAS_WEIGHTS=weights is not None,
            PIECE=size,
            BLOCK_M=min(block, size),
            BLOCK_D=block_d,
            num_warps=4,
        )
        groups_kernel[(groups, triton.cdiv(dim, block_d))](
            partial, upto, counts, out, dim, BLOCK_P=16, BLOCK_D=block_d, num_warps=4
        )
    return out


@_group_sums.register_fake
def _(values: Tensor, offsets: Tensor, rows: Tensor | None, weights: Tensor | None) -> Tensor:
    dtype = torch.promote_types(values.dtype, torch.float32)
    return values.new_empty((len(offsets), values.shape[1]), dtype=dtype)


def group_sums(values: Tensor, offsets: Tensor, rows: Tensor | None, weights: Tensor | None) -> Tensor:
    """Return ``[G, D]`` sums; see :func:`contrastbench.core.ops.group_sums.api.group_sums`."""
    sums: Tensor = _group_sums(values, offsets, rows, weights)
    return sums
