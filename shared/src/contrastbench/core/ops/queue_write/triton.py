"""The kernel: for each class one walk over the keys to count its own, and one to write them.

Shapes: C classes, T slots in the ring of each, n keys of size D.
"""

# ruff: noqa: N803  constants of a kernel are written in capitals
# mypy: disallow-untyped-defs=False
# Not with postponed annotations: torch.library reads the types of the ops.
import torch
import triton
import triton.language as tl
from torch import Tensor

# Keys that a program looks at in one go; most are of other classes and not read.
_KEYS = 64


@triton.jit
def _write_kernel(
    rings,
    pointer,
    count,
    new_pointer,
    new_count,
    keys,
    classes,
    number,
    length,
    dim,
    ring_stride_c,
    ring_stride_t,
    ring_stride_d,
    key_stride_n,
    key_stride_d,
    pointer_stride,
    count_stride,
    class_stride,
    KEYS: tl.constexpr,
    DIMS: tl.constexpr,
):
    """Write some dimensions of one class's keys, and the first block its new pointer and count."""
    own = tl.program_id(0)
    block = tl.program_id(1)
    d = block * DIMS + tl.arange(0, DIMS)
    rings += own.to(tl.int64) * ring_stride_c + d.to(tl.int64)[None, :] * ring_stride_d
    keys += d.to(tl.int64)[None, :] * key_stride_d

    arrived = tl.zeros((), tl.int64)
    for start in range(0, number, KEYS):
        n = (start + tl.arange(0, KEYS)).to(tl.int64)
        same = (n < number) & (tl.load(classes + n * class_stride, mask=n < number, other=-1) == own)
        arrived += tl.sum(same.to(tl.int32), axis=0)

    first = tl.load(pointer + own * pointer_stride)
    before = tl.zeros((), tl.int64)
    for start in range(0, number, KEYS):
        n = (start + tl.arange(0, KEYS)).to(tl.int64)
        same = (n < number) & (tl.load(classes + n * class_stride, mask=n < number, other=-1) == own)
        place = before + tl.cumsum(same.to(tl.int32), axis=0) - 1
        # Of more than a ring's worth only the last ones stay; no slot is written twice in one call.
        last = (same & (place >= arrived - length))[:, None] & (d < dim)[None, :]
        slot = (first + place) % length
        value = tl.load(keys + n[:, None] * key_stride_n, mask=last, other=0.0)
        tl.store(rings + slot[:, None] * ring_stride_t, value, mask=last)
        before += tl.sum(same.to(tl.int32), axis=0)

    if block == 0:
        tl.store(new_pointer + own, (first + arrived) % length)
        tl.store(new_count + own, tl.minimum(tl.load(count + own * count_stride) + arrived, length))


@torch.library.custom_op("contrastbench::queue_write", mutates_args={"rings"})
def _queue_write(rings: Tensor, pointer: Tensor, count: Tensor, keys: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    num_classes, length, dim = rings.shape
    new_pointer = torch.empty(num_classes, dtype=torch.int64, device=rings.device)
    new_count = torch.empty_like(new_pointer)
    if num_classes:
        dims = min(triton.next_power_of_2(max(dim, 1)), 64)
        with torch.cuda.device_of(rings):
            _write_kernel[(num_classes, max(1, triton.cdiv(dim, dims)))](
                rings,
                pointer,
                count,
                new_pointer,
                new_count,
                keys,
                classes,
                len(keys),
                length,
                dim,
                *rings.stride(),
                *keys.stride(),
                *pointer.stride(),
                *count.stride(),
                *classes.stride(),
                KEYS=_KEYS,
                DIMS=dims,
                num_warps=4,
            )
    return new_pointer, new_count


@_queue_write.register_fake
def _(rings: Tensor, pointer: Tensor, count: Tensor, keys: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    new_pointer = pointer.new_empty(len(rings), dtype=torch.int64)
    return new_pointer, torch.empty_like(new_pointer)


def queue_write(rings: Tensor, pointer: Tensor, count: Tensor, keys: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`contrastbench.core.ops.queue_write.api.queue_write`."""
    new_pointer, new_count = _queue_write(rings, pointer, count, keys.detach().to(rings.dtype), classes)
    return new_pointer, new_count
