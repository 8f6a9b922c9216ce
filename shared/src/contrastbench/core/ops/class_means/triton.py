"""The kernels: each pixel is read once and added to its class's sum; backwards, the gradient of each sum is dealt out.

Shapes: B images of n pixels, C classes, D the size of an embedding.
"""

# ruff: noqa: N803  constants of a kernel are written in capitals
# mypy: disallow-untyped-defs=False
# Not with postponed annotations: torch.library reads the types of the ops.
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Elements of a tile of embeddings: 32 registers of each of 128 threads.
_TILE = 1 << 12
# Programs that keep every multiprocessor of a large GPU busy, several at a time on each.
_PROGRAMS = 1 << 10
# Tiles of a program at least: below it, its part of the sums costs more than it saves.
_TILES = 4


@triton.jit
def _sums_kernel(
    embeddings,
    labels,
    sums,
    counts,
    pixels,
    dim,
    classes,
    blocks,
    splits,
    pixels_of_split,
    stride_b,
    stride_n,
    stride_d,
    label_stride_b,
    label_stride_n,
    PIXELS: tl.constexpr,
    DIMS: tl.constexpr,
):
    """Add up one split of one image's pixels, one block of their dimensions, into its own part of the sums."""
    block = tl.program_id(0) % blocks
    split = (tl.program_id(0) // blocks) % splits
    part = (tl.program_id(0) // blocks).to(tl.int64)
    image = part // splits
    d = block * DIMS + tl.arange(0, DIMS)
    embeddings += image * stride_b + d.to(tl.int64)[None, :] * stride_d
    labels += image * label_stride_b
    sums += part * classes * dim + d
    counts += part * classes

    begin = split * pixels_of_split
    end = tl.minimum(begin + pixels_of_split, pixels)
    for start in range(begin, end, PIXELS):
        n = (start + tl.arange(0, PIXELS)).to(tl.int64)
        label = tl.load(labels + n * label_stride_n, mask=n < end, other=0)
        known = (n < end) & (label >= 0) & (label < classes)
        own = tl.where(known, label, classes).to(tl.int32)
        rows = tl.load(embeddings + n[:, None] * stride_n, mask=known[:, None] & (d < dim)[None, :], other=0.0)
        rows = rows.to(tl.float32)
        # Labels are regions: a tile holds few classes, and only these are looked at.
        current = tl.min(own, axis=0)
        while current < classes:
            here = own == current
            total = tl.sum(tl.where(here[:, None], rows, 0.0), axis=0)
            at = sums + current.to(tl.int64) * dim
            tl.store(at, tl.load(at, mask=d < dim, other=0.0) + total, mask=d < dim)
            if block == 0:
                tl.store(counts + current, tl.load(counts + current) + tl.sum(here.to(tl.int32), axis=0))
            # What one thread has written another may read for the next tile.
            tl.debug_barrier()
            current = tl.min(tl.where(own > current, own, classes), axis=0)


@triton.jit
def _deal_kernel(
    grad_sums,
    labels,
    grad,
    pixels,
    dim,
    classes,
    stride_n,
    stride_d,
    label_stride_b,
    label_stride_n,
    PIXELS: tl.constexpr,
    DIMS: tl.constexpr,
):
    """Give each pixel the gradient of its class's sum, 0 to those ignored."""
    blocks = tl.cdiv(dim, DIMS)
    tiles = tl.cdiv(pixels, PIXELS)
    block = tl.program_id(0) % blocks
    tile = (tl.program_id(0) // blocks) % tiles
    image = (tl.program_id(0) // blocks // tiles).to(tl.int64)
    d = block * DIMS + tl.arange(0, DIMS)
    n = (tile * PIXELS + tl.arange(0, PIXELS)).to(tl.int64)
    label = tl.load(labels + image * label_stride_b + n * label_stride_n, mask=n < pixels, other=0)
    known = (n < pixels) & (label >= 0) & (label < classes)
    row = image * classes + tl.where(known, label, 0).to(tl.int64)
    value = tl.load(grad_sums + row[:, None] * dim + d[None, :], mask=known[:, None] & (d < dim)[None, :], other=0.0)
    to = grad + image * pixels * dim + n[:, None] * stride_n + d.to(tl.int64)[None, :] * stride_d
    tl.store(to, value.to(grad.dtype.element_ty), mask=(n < pixels)[:, None] & (d < dim)[None, :])


def _tile(pixels: int, dim: int) -> tuple[int, int]:
    """Return how many pixels and dimensions of them a tile has."""
    dims = min(triton.next_power_of_2(max(dim, 1)), 128)
    return min(triton.next_power_of_2(max(pixels, 1)), _TILE // dims, 128), dims


@torch.library.custom_op("contrastbench::class_sums", mutates_args=())
def _class_sums(embeddings: Tensor, labels: Tensor, num_classes: int, channels_first: bool) -> tuple[Tensor, Tensor]:
    rows = embeddings.transpose(1, 2) if channels_first else embeddings
    batch, pixels, dim = rows.shape
    tile, dims = _tile(pixels, dim)
    blocks = max(1, triton.cdiv(dim, dims))
    # Known from the shapes alone, so that the sums are the same on any GPU; the parts take half of what is added up,
    # at most.
    splits = max(1, min(_PROGRAMS // max(1, batch * blocks), pixels // (_TILES * tile), pixels // (2 * num_classes)))
    pixels_of_split = triton.cdiv(triton.cdiv(pixels, splits), tile) * tile
    splits = triton.cdiv(pixels, pixels_of_split) if pixels else 1
    sums = torch.zeros(batch, splits, num_classes, dim, dtype=torch.float32, device=rows.device)
    counts = torch.zeros(batch, splits, num_classes, dtype=torch.int32, device=rows.device)
    if batch and pixels:
        with torch.cuda.device_of(rows):
            _sums_kernel[(batch * splits * blocks,)](
                rows,
                labels,
                sums,
                counts,
                pixels,
                dim,
                num_classes,
                blocks,
                splits,
                pixels_of_split,
                *rows.stride(),
                *labels.stride(),
                PIXELS=tile,
                DIMS=dims,
                num_warps=4,
            )
    return sums.sum(1), counts.sum(1)


@_class_sums.register_fake
def _(embeddings: Tensor, labels: Tensor, num_classes: int, channels_first: bool) -> tuple[Tensor, Tensor]:
    batch, dim = embeddings.shape[0], embeddings.shape[1 if channels_first else 2]
    sums = embeddings.new_empty(batch, num_classes, dim, dtype=torch.float32)
    return sums, embeddings.new_empty(batch, num_classes, dtype=torch.int64)


@torch.library.custom_op("contrastbench::class_sums_backward", mutates_args=())
def _class_sums_backward(grad_sums: Tensor, labels: Tensor, channels_first: bool, dtype: torch.dtype) -> Tensor:
    batch, num_classes, dim = grad_sums.shape
    pixels = labels.shape[1]
    shape = (batch, dim, pixels) if channels_first else (batch, pixels, dim)
    grad = torch.empty(shape, dtype=dtype, device=grad_sums.device)
    if grad.numel():
        tile, dims = _tile(pixels, dim)
        with torch.cuda.device_of(grad):
            _deal_kernel[(batch * triton.cdiv(pixels, tile) * triton.cdiv(dim, dims),)](
                grad_sums.contiguous(),
                labels,
                grad,
                pixels,
                dim,
                num_classes,
                *((1, pixels) if channels_first else (dim, 1)),
                *labels.stride(),
                PIXELS=tile,
                DIMS=dims,
                num_warps=4,
            )
    return grad


@_class_sums_backward.register_fake
def _(grad_sums: Tensor, labels: Tensor, channels_first: bool, dtype: torch.dtype) -> Tensor:
    batch, _, dim = grad_sums.shape
    pixels = labels.shape[1]
    return grad_sums.new_empty((batch, dim, pixels) if channels_first else (batch, pixels, dim), dtype=dtype)


# Each of the two is linear and the other's transpose, so each is the other's gradient, as often as one likes.
def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    embeddings, labels, _, ctx.channels_first = inputs
    ctx.dtype = embeddings.dtype
    ctx.save_for_backward(labels)


def _backward(ctx: Any, grad_sums: Tensor, _: Any) -> tuple[Tensor, None, None, None]:
    (labels,) = ctx.saved_tensors
    return _class_sums_backward(grad_sums, labels, ctx.channels_first, ctx.dtype), None, None, None


def _save_of_backward(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    grad_sums, labels, ctx.channels_first, _ = inputs
    ctx.num_classes = grad_sums.shape[1]
    ctx.save_for_backward(labels)


def _backward_of_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    (labels,) = ctx.saved_tensors
    return _class_sums(grad, labels, ctx.num_classes, ctx.channels_first)[0], None, None, None


_class_sums.register_autograd(_backward, setup_context=_save)
_class_sums_backward.register_autograd(_backward_of_backward, setup_context=_save_of_backward)


def class_sums(embeddings: Tensor, labels: Tensor, num_classes: int, channels_first: bool) -> tuple[Tensor, Tensor]:
    """Return sums and counts of ``[B, n, D]``, ``[B, D, n]`` with ``channels_first``, or ``[n, D]``.

    See :func:`contrastbench.core.ops.class_means.api.class_sums`.
    """
    if embeddings.ndim == 2:
        sums, counts = _class_sums(embeddings[None], labels[None], num_classes, False)
        return sums[0], counts[0]
    sums, counts = _class_sums(embeddings, labels, num_classes, channels_first)
    return sums, counts
