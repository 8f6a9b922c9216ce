"""The kernels: one look at each key, nothing of size A x M. The README derives them.

A class is four numbers of ``blocks_ptr``, a span of tiles four of ``spans_ptr``: see :mod:`.blocks`.
"""

# mypy: disallow-untyped-defs=False
# ruff: noqa: N803  constants of a kernel are written in capitals

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _dot(x, y, onto, PRECISION: tl.constexpr, WIDEN: tl.constexpr):
    if WIDEN:  # the interpreter multiplies bfloat16 as if its bits were whole numbers
        x = x.to(tl.float32)
        y = y.to(tl.float32)
    return tl.dot(x, y, onto, input_precision=PRECISION)


@triton.jit
def _similarities(
    anchors, anchor_ptrs, anchor_ok, keys, key_ptrs, key_ok, dim,
    BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Return anchors times keys, ``[BLOCK_A, BLOCK_M]``, in float32."""
    products = tl.zeros((anchor_ptrs.shape[0], key_ptrs.shape[0]), tl.float32)
    if BLOCK_K == BLOCK_D:
        products = _dot(anchors, tl.trans(keys), products, PRECISION, WIDEN)
    else:
        # Without tensor cores a product is unrolled along its inner size: keep that short.
        part = tl.arange(0, BLOCK_K)[None, :]
        for start in range(0, BLOCK_D, BLOCK_K):
            d = start + part
            x = tl.load(anchor_ptrs + d, mask=anchor_ok & (d < dim), other=0.0)
            y = tl.load(key_ptrs + d, mask=key_ok & (d < dim), other=0.0)
            products = _dot(x, tl.trans(y), products, PRECISION, WIDEN)
    return products


@triton.jit
def negatives_kernel(
    anchors_ptr, order_ptr, labels_ptr, keys_ptr, blocks_ptr, spans_ptr, peak_ptr, total_ptr, mean_ptr,
    num_anchors, dim, scale,
    BLOCK_A: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr,
    ALIGNED: tl.constexpr, LIFT: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """For BLOCK_A anchors, in the order of their classes, and one span of the keys: the online softmax.

    Writes to ``[span, anchor]`` the peak of the similarities (in bits) and the sum of their powers relative to it,
    and to ``[span, anchor, dim]`` the keys weighted by those powers.
    """
    first_anchor = tl.program_id(0) * BLOCK_A
    span = tl.program_id(1)
    at = first_anchor + tl.arange(0, BLOCK_A)
    inside = at < num_anchors
    row = tl.load(order_ptr + at, mask=inside, other=0)
    label = tl.load(labels_ptr + at, mask=inside, other=-1)
    lowest = tl.load(labels_ptr + first_anchor)
    highest = tl.load(labels_ptr + tl.minimum(first_anchor + BLOCK_A, num_anchors) - 1)
    d = tl.arange(0, BLOCK_D)[None, :]
    anchor_ptrs = anchors_ptr + row[:, None] * dim
    anchors = tl.load(anchor_ptrs + d, mask=inside[:, None] & (d < dim), other=0.0).to(keys_ptr.dtype.element_ty)

    start = tl.load(spans_ptr + 4 * span)
    stop = tl.load(spans_ptr + 4 * span + 1)
    first_class = tl.load(spans_ptr + 4 * span + 2).to(tl.int32)
    last_class = tl.load(spans_ptr + 4 * span + 3).to(tl.int32)
    # Finite, so that a row without any negative yet is rescaled by 1 and not by nan.
    peak = tl.full((BLOCK_A,), -1e38, tl.float32)
    total = tl.zeros((BLOCK_A,), tl.float32)
    mean = tl.zeros((BLOCK_A, BLOCK_D), tl.float32)
    for c in range(first_class, last_class):
        offset = tl.load(blocks_ptr + 4 * c)
        stride = tl.load(blocks_ptr + 4 * c + 1)
        if ALIGNED:
            offset = tl.multiple_of(offset, 16)
            stride = tl.multiple_of(stride, 16)
        count = tl.load(blocks_ptr + 4 * c + 2).to(tl.int32)
        first_tile = tl.load(blocks_ptr + 4 * c + 3)
        tile_start = tl.maximum(start - first_tile, 0).to(tl.int32)
        tile_stop = tl.minimum(stop - first_tile, (count + BLOCK_M - 1) // BLOCK_M).to(tl.int32)
        # Nothing to do where every anchor is of this class.
        tile_stop = tl.where((lowest == c) & (highest == c), tile_start, tile_stop)
        positive = label == c
        for tile in range(tile_start, tile_stop):
            m = tile * BLOCK_M + tl.arange(0, BLOCK_M)
            key_ok = (m < count)[:, None]
            key_ptrs = keys_ptr + offset + m[:, None].to(tl.int64) * stride
            keys = tl.load(key_ptrs + d, mask=key_ok & (d < dim), other=0.0)
            similarity = scale * _similarities(
                anchors, anchor_ptrs, inside[:, None], keys, key_ptrs, key_ok, dim, BLOCK_D, BLOCK_K, PRECISION, WIDEN
            )
            similarity = tl.where((m < count)[None, :], similarity, -float("inf"))
            higher = tl.where(positive, peak, tl.maximum(peak, tl.max(similarity, 1)))
            # An infinite reference makes every power of a positive 0: the class is decided once a row.
            reference = tl.where(positive, float("inf"), higher - LIFT)
            weight = tl.exp2(similarity - reference[:, None])
            rescale = tl.exp2(peak - higher)
            total = total * rescale + tl.sum(weight, 1)
            mean = _dot(weight.to(keys.dtype), keys, mean * rescale[:, None], PRECISION, WIDEN)
            peak = higher

    out = span.to(tl.int64) * num_anchors + row
    tl.store(peak_ptr + out, peak - LIFT, mask=inside)
    tl.store(total_ptr + out, total, mask=inside)
    tl.store(mean_ptr + out[:, None] * dim + d, mean, mask=inside[:, None] & (d < dim))


@triton.jit
def positives_kernel(
    anchors_ptr, log_negatives_ptr, order_ptr, labels_ptr, keys_ptr, blocks_ptr, total_ptr, slope_ptr, pull_ptr,
    num_anchors, num_classes, dim, inverse_temperature,
    BLOCK_A: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr,
    ALIGNED: tl.constexpr, LIFT: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """For BLOCK_A anchors, in the order of their classes, and one part of each of these classes' keys.

    Writes to ``[part, anchor]`` the sum of softplus(Z - s) and of its slopes, and to ``[part, anchor, dim]`` the keys
    weighted by the slopes.
    """
    first_anchor = tl.program_id(0) * BLOCK_A
    part = tl.program_id(1)
    parts = tl.num_programs(1)
    at = first_anchor + tl.arange(0, BLOCK_A)
    inside = at < num_anchors
    row = tl.load(order_ptr + at, mask=inside, other=0)
    label = tl.load(labels_ptr + at, mask=inside, other=-1)
    log_negatives = tl.load(log_negatives_ptr + row, mask=inside, other=0.0)
    first_class = tl.maximum(tl.load(labels_ptr + first_anchor), 0).to(tl.int32)
    last_class = tl.load(labels_ptr + tl.minimum(first_anchor + BLOCK_A, num_anchors) - 1)
    last_class = tl.minimum(last_class, num_classes - 1).to(tl.int32)
    d = tl.arange(0, BLOCK_D)[None, :]
    anchor_ptrs = anchors_ptr + row[:, None] * dim
    anchors = tl.load(anchor_ptrs + d, mask=inside[:, None] & (d < dim), other=0.0).to(keys_ptr.dtype.element_ty)

    total = tl.zeros((BLOCK_A,), tl.float32)
    slope = tl.zeros((BLOCK_A,), tl.float32)
    pull = tl.zeros((BLOCK_A, BLOCK_D), tl.float32)
    for c in range(first_class, last_class + 1):
        offset = tl.load(blocks_ptr + 4 * c)
        stride = tl.load(blocks_ptr + 4 * c + 1)
        if ALIGNED:
            offset = tl.multiple_of(offset, 16)
            stride = tl.multiple_of(stride, 16)
        count = tl.load(blocks_ptr + 4 * c + 2).to(tl.int32)
        tiles = (count + BLOCK_M - 1) // BLOCK_M
        positive = (label == c)[:, None]
        for tile in range(part * tiles // parts, (part + 1) * tiles // parts):
            m = tile * BLOCK_M + tl.arange(0, BLOCK_M)
            key_ok = (m < count)[:, None]
            key_ptrs = keys_ptr + offset + m[:, None].to(tl.int64) * stride
            keys = tl.load(key_ptrs + d, mask=key_ok & (d < dim), other=0.0)
            similarity = inverse_temperature * _similarities(
                anchors, anchor_ptrs, inside[:, None], keys, key_ptrs, key_ok, dim, BLOCK_D, BLOCK_K, PRECISION, WIDEN
            )
            margin = log_negatives[:, None] - similarity
            margin = tl.where(positive & (m < count)[None, :], margin, -float("inf"))
            power = tl.exp(-tl.abs(margin))
            # log1p(power): the rounding of 1 + power, known exactly, is divided out again.
            above_one = 1.0 + power
            lost = above_one == 1.0
            log_one_plus = tl.where(lost, power, tl.log(above_one) * power / tl.where(lost, 1.0, above_one - 1.0))
            weight = tl.where(margin >= 0.0, 1.0, power) / above_one
            total += tl.sum(tl.maximum(margin, 0.0) + log_one_plus, 1)
            slope += tl.sum(weight, 1)
            pull = _dot((weight * LIFT).to(keys.dtype), keys, pull, PRECISION, WIDEN)

    out = part.to(tl.int64) * num_anchors + row
    tl.store(total_ptr + out, total, mask=inside)
    tl.store(slope_ptr + out, slope, mask=inside)
    tl.store(pull_ptr + out[:, None] * dim + d, pull * (1.0 / LIFT), mask=inside[:, None] & (d < dim))
