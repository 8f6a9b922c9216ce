"""The kernels: how far the outside is within each column, then the least over columns. Whole numbers throughout.

Shapes: n = B * C planes of H x W pixels.
"""

# ruff: noqa: N803  constants of a kernel are written in capitals
# mypy: disallow-untyped-defs=False
# Not with postponed annotations: torch.library reads the types of the ops.
import torch
import triton
import triton.language as tl
from torch import Tensor

from contrastbench.core.ops.choice import interpreted

# Stands for "no outside in this column". Its square fits int32 beside the square of any distance in a plane of at most
# 16,384 pixels a side, and is larger.
_FAR = (1 << 15) - 1
# Float32 holds whole numbers exactly up to here.
_EXACT = 1 << 24


@triton.jit
def _highest_bit(word):
    """Return the place of the highest bit of a number in 1 .. 2^24 - 1: the exponent of its float32."""
    return (word.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127


@triton.jit
def _columns_kernel(
    masks,
    columns,
    channels,
    height,
    width,
    stride_b,
    stride_c,
    stride_h,
    stride_w,
    BORDER_IS_EDGE: tl.constexpr,
    FAR: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """Write the distance along its column from each pixel to the nearest one outside; FAR where there is none."""
    tiles = tl.cdiv(width, COLS)
    plane = tl.program_id(0) // tiles
    image = (plane // channels).to(tl.int64)
    channel = (plane % channels).to(tl.int64)
    x = (tl.program_id(0) % tiles) * COLS + tl.arange(0, COLS)
    row = tl.arange(0, ROWS)[:, None]
    masks += image * stride_b + channel * stride_c + x.to(tl.int64)[None, :] * stride_w
    columns += plane.to(tl.int64) * height * width + x[None, :]

    # Down: ROWS pixels of a column are the bits of one number, and a pixel's nearest outside above it is the highest
    # bit among those up to its own.
    last = tl.full([COLS], -1 if BORDER_IS_EDGE else -FAR, tl.int32)
    for start in range(0, height, ROWS):
        y = start + row
        inside = (y < height) & (x < width)[None, :]
        mask = tl.load(masks + y.to(tl.int64) * stride_h, mask=inside, other=1)
        bits = tl.sum((mask == 0).to(tl.int32) << row, axis=0)
        above = bits[None, :] & ((2 << row) - 1)
        nearest = tl.where(above > 0, start + _highest_bit(above), last[None, :])
        tl.store(columns + y.to(tl.int64) * width, tl.minimum(y - nearest, FAR).to(tl.int16), mask=inside)
        last = tl.where(bits > 0, start + _highest_bit(bits), last)
    # What one thread has written another may read.
    tl.debug_barrier()
    # Up: the lowest bit among those from its own on.
    following = tl.zeros([COLS], tl.int32) + (height if BORDER_IS_EDGE else height + FAR)
    steps = tl.cdiv(height, ROWS)
    for step in range(0, steps):
        start = (steps - 1 - step) * ROWS
        y = start + row
        inside = (y < height) & (x < width)[None, :]
        mask = tl.load(masks + y.to(tl.int64) * stride_h, mask=inside, other=1)
        bits = tl.sum((mask == 0).to(tl.int32) << row, axis=0)
        below = bits[None, :] >> row
        nearest = tl.where(below > 0, y + _highest_bit(below & -below), following[None, :])
        upward = tl.load(columns + y.to(tl.int64) * width, mask=inside, other=0).to(tl.int32)
        tl.store(columns + y.to(tl.int64) * width, tl.minimum(upward, nearest - y).to(tl.int16), mask=inside)
        following = tl.where(bits > 0, start + _highest_bit(bits & -bits), following)


@triton.jit
def _rows_kernel(
    columns,
    distances,
    height,
    width,
    BORDER_IS_EDGE: tl.constexpr,
    WIDE: tl.constexpr,
    FAR: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    STEP: tl.constexpr,
):
    """Write the root of the least square: k columns to either side, until k alone is further than what was found."""
    across = tl.cdiv(width, COLS)
    tiles = tl.cdiv(height, ROWS) * across
    plane = tl.program_id(0) // tiles
    tile = tl.program_id(0) % tiles
    y = (tile // across) * ROWS + tl.arange(0, ROWS)[:, None]
    x = (tile % across) * COLS + tl.arange(0, COLS)[None, :]
    inside = (y < height) & (x < width)
    place = plane.to(tl.int64) * height * width + y.to(tl.int64) * width + x

    own = tl.load(columns + place, mask=inside, other=0).to(tl.int32)
    best = own * own
    if BORDER_IS_EDGE:
        side = tl.minimum(x + 1, width - x)
        best = tl.minimum(best, side * side)
    k = 1
    while (k < width) & (k * k < tl.max(tl.max(best, axis=1), axis=0)):
        for more in tl.static_range(STEP):
            away = k + more
            left = tl.load(columns + place - away, mask=inside & (x >= away), other=FAR)
            right = tl.load(columns + place + away, mask=inside & (x + away < width), other=FAR)
            nearer = tl.minimum(left, right).to(tl.int32)
            best = tl.minimum(best, nearer * nearer + away * away)
        k += STEP

    # A root rounded correctly from float64 equals the one rounded once, of numbers that float32 holds.
    root = tl.sqrt(best.to(tl.float64)).to(tl.float32) if WIDE else tl.sqrt_rn(best.to(tl.float32))
    # Only where no column has an outside does FAR remain.
    tl.store(distances + place, tl.where(best >= FAR * FAR, float("inf"), root), mask=inside)


def _tile(size: int, longest: int) -> int:
    return min(triton.next_power_of_2(size), longest)


@torch.library.custom_op("contrastbench::distance_transform", mutates_args=())
def _distance_transform(masks: Tensor, border_is_edge: bool) -> Tensor:
    batch, channels, height, width = masks.shape
    distances = torch.empty(masks.shape, dtype=torch.float32, device=masks.device)
    if not masks.numel():
        return distances
    columns = torch.empty(masks.shape, dtype=torch.int16, device=masks.device)
    planes = batch * channels
    cols = _tile(width, 64)
    with torch.cuda.device_of(masks):
        _columns_kernel[(planes * triton.cdiv(width, cols),)](
            masks.view(torch.uint8),
            columns,
            channels,
            height,
            width,
            *masks.stride(),
            BORDER_IS_EDGE=border_is_edge,
            FAR=_FAR,
            ROWS=16,
            COLS=cols,
            num_warps=4,
        )
    # Small tiles, for each goes on until its own furthest pixel is done; in the interpreter every program is dear.
    elements = 8192 if interpreted() else 128
    cols = _tile(width, 128)
    rows = _tile(height, max(1, elements // cols))
    with torch.cuda.device_of(masks):
        _rows_kernel[(planes * triton.cdiv(height, rows) * triton.cdiv(width, cols),)](
            columns,
            distances,
            height,
            width,
            BORDER_IS_EDGE=border_is_edge,
            WIDE=height**2 + width**2 > _EXACT,
            FAR=_FAR,
            ROWS=rows,
            COLS=cols,
            STEP=8,
            num_warps=1,
        )
    return distances


@_distance_transform.register_fake
def _(masks: Tensor, border_is_edge: bool) -> Tensor:
    return masks.new_empty(masks.shape, dtype=torch.float32)


def distance_transform(masks: Tensor, border_is_edge: bool) -> Tensor:
    """See :func:`contrastbench.core.ops.distance_transform.api.distance_transform`."""
    out: Tensor = _distance_transform(masks, border_is_edge)
    return out
