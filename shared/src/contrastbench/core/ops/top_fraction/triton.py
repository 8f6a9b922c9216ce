"""The kernels. A band of similarities is formed once and read by all that follows; no key is sorted.

Shapes: R rows (anchors) of a band, S draws, M keys in all tables, N in the fraction at most. Rows are int64.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from contrastbench.core.ops.choice import interpreted
from contrastbench.core.ops.top_fraction.codes import class_codes
from contrastbench.core.ops.top_fraction.parts import part_size

if TYPE_CHECKING:
    from contrastbench.core.ops.top_fraction.api import Draw

# ruff: noqa: N803  constants of a kernel are written in capitals
# mypy: disallow-untyped-defs=False

# Similarities held at once: 512 MB of float32; as many rows of them as fit, one at least.
_BAND_ELEMENTS = 1 << 27
_TILE = (64, 128, 32)
_BLOCK = 4096
# Programs to keep a GPU of 132 multiprocessors busy; rows are cut into parts until there are as many.
_PROGRAMS, _PARTS = 2048, 64
_BINS = tl.constexpr(256)


@triton.jit
def _product(
    anchors, keys, similarity, rows, count, dim, columns, anchors_row, anchors_col, keys_row, keys_col,
    WIDEN: tl.constexpr, TILE_R: tl.constexpr, TILE_M: tl.constexpr, TILE_D: tl.constexpr,
):  # fmt: skip
    # Tiles of rows go fastest, so that those that share keys run together.
    tiles = tl.cdiv(rows, TILE_R)
    i = ((tl.program_id(0) % tiles) * TILE_R + tl.arange(0, TILE_R)).to(tl.int64)
    j = ((tl.program_id(0) // tiles) * TILE_M + tl.arange(0, TILE_M)).to(tl.int64)
    total = tl.zeros([TILE_R, TILE_M], tl.float32)
    for start in range(0, dim, TILE_D):
        d = (start + tl.arange(0, TILE_D)).to(tl.int64)
        x = tl.load(
            anchors + i[:, None] * anchors_row + d[None, :] * anchors_col,
            mask=(i[:, None] < rows) & (d[None, :] < dim),
            other=0.0,
        )
        y = tl.load(
            keys + j[None, :] * keys_row + d[:, None] * keys_col,
            mask=(j[None, :] < count) & (d[:, None] < dim),
            other=0.0,
        )
        if WIDEN:
            x, y = x.to(tl.float32), y.to(tl.float32)
        total = tl.dot(x, y, total, input_precision="ieee")
    tl.store(similarity + i[:, None] * columns + j[None, :], total, mask=(i[:, None] < rows) & (j[None, :] < count))


@triton.jit
def _hardness(similarity, row, j, allowed, columns, farthest):
    """Numbers (uint32) in the order of the hardness, 0 where a key may not be chosen."""
    x = tl.load(similarity + row * columns + j, mask=allowed, other=0.0)
    x = tl.where(farthest, -x, x)
    x = tl.where(x == 0, 0.0, x)  # -0 equals 0
    bits = x.to(tl.uint32, bitcast=True)
    return tl.where(allowed, tl.where((bits >> 31) != 0, bits ^ 0xFFFFFFFF, bits | 0x80000000), 0)


@triton.jit
def _allowed(codes, eligible, row, j, columns, first, code, own, BARRED: tl.constexpr):
    there = j < columns
    c = tl.load(codes + j, mask=there, other=-1)
    allowed = (c >= 0) & ((c == code) == own)
    if BARRED:
        met = tl.load(eligible + row * first + j, mask=there & (j < first), other=1)
        allowed = allowed & (met != 0)
    return allowed


@triton.jit
def _count(
    similarity, codes, row_codes, eligible, prefix, histogram, held, columns, first, segment, own_bits, far_bits,
    LEVEL: tl.constexpr, BARRED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count by their next digit the keys of a part whose digits so far are the threshold's."""
    row, part, draw = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    own, farthest = ((own_bits >> draw) & 1) != 0, ((far_bits >> draw) & 1) != 0
    at = row * tl.num_programs(2) + draw
    code = tl.load(row_codes + row)
    digits = tl.load(prefix + at).to(tl.uint32, bitcast=True)
    total = tl.zeros([_BINS], tl.int32)
    seen = 0
    for start in range(part * segment, tl.minimum((part + 1) * segment, columns), BLOCK):
        j = start + tl.arange(0, BLOCK)
        allowed = _allowed(codes, eligible, row, j, columns, first, code, own, BARRED)
        here = tl.sum(allowed.to(tl.int32), 0)
        seen += here
        # A bank by class has long stretches without a key that is allowed.
        if here > 0:
            key = _hardness(similarity, row, j, allowed, columns, farthest)
            digit = (key >> (24 - 8 * LEVEL)) & 255
            if LEVEL > 0:
                # What does not belong falls to digit 0, whose count nobody reads.
                digit = tl.where((key >> (32 - 8 * LEVEL)) == digits, digit, 0)
            total += tl.histogram(digit.to(tl.int32), _BINS)
    b = tl.arange(0, _BINS)
    place = at * tl.num_programs(1) + part
    tl.store(histogram + place * _BINS + b, total)
    if LEVEL == 0:
        tl.store(held + place, seen)


@triton.jit
def _narrow(histogram, prefix, left, above, held, PARTS: tl.constexpr):
    """Take the threshold's next digit: the largest that leaves enough keys at or above it."""
    at = tl.program_id(0).to(tl.int64)
    s, b = tl.arange(0, PARTS), tl.arange(0, _BINS)
    counts = tl.load(histogram + (at * PARTS + s[:, None]) * _BINS + b[None, :])
    counts = tl.where(b[None, :] > 0, counts, 0)
    total = tl.sum(counts, 0)
    at_least = tl.sum(total, 0) - tl.cumsum(total, 0) + total
    wanted = tl.load(left + at)
    digit = tl.max(tl.where(at_least >= wanted, b, 0), 0)
    tl.store(left + at, wanted - tl.sum(tl.where(b > digit, total, 0), 0))
    tl.store(prefix + at, (tl.load(prefix + at) << 8) | digit)
    # Of each part: how many keys are above the threshold, and how many still share its digits. Those with digit 0 are
    # what the others leave.
    parts = at * PARTS + s
    over = tl.sum(tl.where(b[None, :] > digit, counts, 0), 1)
    same = tl.sum(tl.where(b[None, :] == digit, counts, 0), 1)
    rest = tl.load(held + parts) - tl.sum(counts, 1)
    tl.store(above + parts, tl.load(above + parts) + over)
    tl.store(held + parts, tl.where(digit == 0, rest, same))


@triton.jit
def _gather(
    similarity, codes, row_codes, eligible, prefix, left, above, held, candidates, columns, first, segment, width,
    own_bits, far_bits, BARRED: tl.constexpr, BLOCK: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """List the keys within the fraction by index: those above the threshold, and the first that equal it."""
    row, part, draw = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    own, farthest = ((own_bits >> draw) & 1) != 0, ((far_bits >> draw) & 1) != 0
    at = row * tl.num_programs(2) + draw
    code = tl.load(row_codes + row)
    threshold = tl.load(prefix + at).to(tl.uint32, bitcast=True)
    wanted = tl.load(left + at)
    s = tl.arange(0, PARTS)
    ties = tl.sum(tl.where(s < part, tl.load(held + at * PARTS + s), 0), 0)
    place = tl.sum(tl.where(s < part, tl.load(above + at * PARTS + s), 0), 0) + tl.minimum(ties, wanted)
    for start in range(part * segment, tl.minimum((part + 1) * segment, columns), BLOCK):
        j = start + tl.arange(0, BLOCK)
        allowed = _allowed(codes, eligible, row, j, columns, first, code, own, BARRED)
        if tl.sum(allowed.to(tl.int32), 0) > 0:
            key = _hardness(similarity, row, j, allowed, columns, farthest)
            tie = (allowed & (key == threshold)).to(tl.int32)
            rank = ties + tl.cumsum(tie, 0) - tie
            within = (allowed & (key > threshold)) | ((tie != 0) & (rank < wanted))
            taken = within.to(tl.int32)
            target = place + tl.cumsum(taken, 0) - taken
            tl.store(candidates + at * width + target, j, mask=within & (target < width))
            place += tl.sum(taken, 0)
            ties += tl.sum(tie, 0)


@triton.jit
def _mix(x):
    x = x ^ (x >> 16)
    x = x * 0x85EBCA6B
    x = x ^ (x >> 13)
    x = x * 0xC2B2AE35
    return x ^ (x >> 16)


@triton.jit
def _priority(candidates, at, width, place, there, first, second):
    """Candidates and their priorities (uint32), 0 beyond the last; see ``priorities.py``."""
    j = tl.load(candidates + at * width + place, mask=there, other=0)
    p = _mix(_mix(j.to(tl.uint32, bitcast=True) ^ first) ^ second)
    return j, tl.where(there, p, 0)


@triton.jit
def _sample(candidates, sizes, words, counts, offsets, out, width, out_row, BLOCK: tl.constexpr):
    """Keep the candidates of the largest priorities; no two are equal."""
    row, draw = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = row * tl.num_programs(1) + draw
    first = tl.load(words + 2 * at).to(tl.uint32, bitcast=True)
    second = tl.load(words + 2 * at + 1).to(tl.uint32, bitcast=True)
    size = tl.load(sizes + at)
    left = tl.minimum(tl.load(counts + draw), size)
    b = tl.arange(0, _BINS)
    threshold = tl.zeros([], tl.uint32)
    for level in tl.static_range(4):
        total = tl.zeros([_BINS], tl.int32)
        for start in range(0, size, BLOCK):
            place = start + tl.arange(0, BLOCK)
            _, p = _priority(candidates, at, width, place, place < size, first, second)
            digits = (p >> (24 - 8 * level)) & 255
            if level > 0:
                digits = tl.where((p >> (32 - 8 * level)) == threshold, digits, 0)
            total += tl.histogram(digits.to(tl.int32), _BINS)
        total = tl.where(b > 0, total, 0)
        at_least = tl.sum(total, 0) - tl.cumsum(total, 0) + total
        digit = tl.max(tl.where(at_least >= left, b, 0), 0)
        left -= tl.sum(tl.where(b > digit, total, 0), 0)
        threshold = (threshold << 8) | digit.to(tl.uint32)
    written = 0
    target = out + row * out_row + tl.load(offsets + draw)
    wanted = tl.load(counts + draw)
    for start in range(0, size, BLOCK):
        place = start + tl.arange(0, BLOCK)
        j, p = _priority(candidates, at, width, place, place < size, first, second)
        taken = ((place < size) & (p >= threshold)).to(tl.int32)
        to = written + tl.cumsum(taken, 0) - taken
        tl.store(target + to, j.to(tl.int64), mask=(taken != 0) & (to < wanted))
        written += tl.sum(taken, 0)


def top_fraction(
    anchors: Tensor,
    labels: Tensor,
    keys: Sequence[Tensor],
    key_labels: Sequence[Tensor],
    draws: Sequence[Draw],
    words: Tensor,
    fraction: float,
    eligible: Tensor | None,
) -> Tensor:
    """See :func:`contrastbench.core.ops.top_fraction.reference.top_fraction`."""
    counts = [draw.k for draw in draws]
    own_bits = sum(draw.own << s for s, draw in enumerate(draws))
    far_bits = sum(draw.farthest << s for s, draw in enumerate(draws))
    chosen: Tensor = _top_fraction(
        anchors, labels, list(keys), list(key_labels), counts, own_bits, far_bits, words, fraction, eligible
    )
    return chosen


@torch.library.custom_op(
    "contrastbench::top_fraction",
    mutates_args=(),
    schema="(Tensor anchors, Tensor labels, Tensor[] keys, Tensor[] key_labels, int[] counts, int own_bits, "
    "int far_bits, Tensor words, float fraction, Tensor? eligible) -> Tensor",
)
def _top_fraction(
    anchors: Tensor,
    labels: Tensor,
    keys: Sequence[Tensor],
    key_labels: Sequence[Tensor],
    counts: Sequence[int],
    own_bits: int,
    far_bits: int,
    words: Tensor,
    fraction: float,
    eligible: Tensor | None,
) -> Tensor:
    chosen = torch.full((len(anchors), sum(counts)), -1, device=anchors.device)
    label = torch.cat(list(key_labels))
    if not len(anchors) or not len(label):
        return chosen
    row_codes, codes = class_codes(labels, label)
    most = max(1, _BAND_ELEMENTS // len(label))
    rows = -(-len(anchors) // -(-len(anchors) // most))
    similarity = torch.empty(rows, len(label), device=anchors.device)
    count = torch.tensor(counts, dtype=torch.int32, device=anchors.device)
    words = words.contiguous()
    with torch.cuda.device_of(anchors):
        for begin in range(0, len(anchors), rows):
            part = slice(begin, begin + rows)
            _multiply(anchors[part], keys, similarity)
            met = None if eligible is None else eligible[part].contiguous().view(torch.uint8)
            candidates, sizes = _part(
                similarity, codes, row_codes[part], met, own_bits, far_bits, len(counts), fraction
            )
            _sample[(len(sizes), len(counts))](
                candidates, sizes, words[part], count, count.cumsum(0) - count, chosen[part], candidates.shape[2],
                chosen.shape[1], BLOCK=_BLOCK, num_warps=8,
            )  # fmt: skip
    return chosen


@_top_fraction.register_fake
def _(
    anchors: Tensor, labels: Tensor, keys: object, key_labels: object, counts: Sequence[int], *rest: object
) -> Tensor:
    return anchors.new_empty((anchors.shape[0], sum(counts)), dtype=torch.int64)


def _multiply(anchors: Tensor, keys: Sequence[Tensor], similarity: Tensor) -> None:
    """Write the inner products of some rows of anchors with all keys, in float32."""
    start = 0
    for table in keys:
        # The interpreter would multiply the bits of bfloat16.
        widen = anchors.dtype != table.dtype or (interpreted() and table.dtype == torch.bfloat16)
        if len(table):
            tiles = triton.cdiv(len(anchors), _TILE[0]) * triton.cdiv(len(table), _TILE[1])
            _product[(tiles,)](
                anchors, table, similarity[:, start:], len(anchors), len(table), anchors.shape[1], similarity.shape[1],
                *anchors.stride(), *table.stride(), WIDEN=widen,
                TILE_R=_TILE[0], TILE_M=_TILE[1], TILE_D=_TILE[2], num_warps=8,
            )  # fmt: skip
        start += len(table)


def _part(
    similarity: Tensor,
    codes: Tensor,
    row_codes: Tensor,
    met: Tensor | None,
    own_bits: int,
    far_bits: int,
    draws: int,
    fraction: float,
) -> tuple[Tensor, Tensor]:
    """Return the keys within the fraction ``[R, S, N]`` (int32), by index, and how many there are ``[R, S]``."""
    rows, columns = len(row_codes), len(codes)
    parts = min(_PARTS, triton.next_power_of_2(triton.cdiv(_PROGRAMS, rows * draws)))
    parts = min(parts, triton.next_power_of_2(triton.cdiv(columns, _BLOCK)))
    segment = triton.cdiv(columns, parts * _BLOCK) * _BLOCK
    width = min(columns, int(columns * fraction) + 1)
    empty = partial(torch.empty, dtype=torch.int32, device=similarity.device)
    histogram, candidates = empty(rows, draws, parts, _BINS.value), empty(rows, draws, width)
    held, above = empty(rows, draws, parts), empty(rows, draws, parts).zero_()
    prefix, left = empty(rows, draws).zero_(), empty(rows, draws)
    first = 0 if met is None else met.shape[1]
    # Without a table of who may meet whom there is nothing to read; any pointer will do.
    given = (similarity, codes, row_codes, row_codes if met is None else met)
    grid, sides = (rows, parts, draws), (own_bits, far_bits)
    sizes = left
    for level in range(4):
        _count[grid](
            *given, prefix, histogram, held, columns, first, segment, *sides,
            LEVEL=level, BARRED=met is not None, BLOCK=_BLOCK, num_warps=8,
        )  # fmt: skip
        if level == 0:
            sizes = part_size(held.sum(2), fraction).int()
            left.copy_(sizes)
        _narrow[(rows * draws,)](histogram, prefix, left, above, held, PARTS=parts, num_warps=8)
    _gather[grid](
        *given, prefix, left, above, held, candidates, columns, first, segment, width, *sides,
        BARRED=met is not None, BLOCK=_BLOCK, PARTS=parts, num_warps=8,
    )  # fmt: skip
    return candidates, sizes
