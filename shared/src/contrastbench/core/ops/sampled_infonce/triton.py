"""The same on a GPU: each chosen key is read once, where it lies and in its own precision."""

# mypy: disallow-untyped-defs=False
# ruff: noqa: N803  constants of a kernel are written in capitals
# Not with postponed annotations: torch.library reads the types of the ops.
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Elements of a tile of keys for each warp: 4 keys of 256, 32 registers of a thread. One warp then holds whole rows,
# so that nothing is exchanged through shared memory until a program ends.
_TILE = 1 << 10
# Programs that keep every multiprocessor of a large GPU busy to the end, some 25 at a time on each.
_PROGRAMS = 1 << 13
# A program has at least so many pairs: below it, adding up its part costs as much as it saves.
_LEAST = 1 << 7


@triton.jit
def _similar(x, keys, index, column, end, first, count, key_stride, dim_stride, DIM: tl.constexpr, WIDE: tl.constexpr):
    """Return the keys of one tile of an index row ``[BLOCK, WIDE]``, which are of this table, and ``<x, key>``."""
    dim = tl.arange(0, WIDE)
    key = tl.load(index + column, mask=column < end, other=-1).to(tl.int64)
    here = (key >= first) & (key < first + count)
    # Keys times dimensions pass 2^31 in a large bank; the index is int64 and so is the product.
    place = (key - first)[:, None] * key_stride + dim.to(tl.int64)[None, :] * dim_stride
    rows = tl.load(keys + place, mask=here[:, None] & (dim < DIM)[None, :], other=0.0).to(tl.float32)
    return rows, here, tl.sum(rows * x[None, :], 1)


@triton.jit(do_not_specialize=["first", "count", "columns", "kept_stride", "share", "part", "parts"])
def _negatives(
    anchors, keys, index, kept, log_sums, means,
    first, count, columns, kept_stride, share, part, parts, key_stride, dim_stride, scale,
    DIM: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """Take the log-sum-exp over a share of an anchor's negatives in one table, and the softmax-weighted mean of them.

    Each of the BLOCK slots of a tile keeps a maximum of its own: no exchange between warps inside the loop.
    """
    anchor = tl.program_id(0).to(tl.int64)
    dim = tl.arange(0, WIDE)
    slot = tl.arange(0, BLOCK)
    x = tl.load(anchors + anchor * DIM + dim, mask=dim < DIM, other=0.0) * scale
    top = tl.full([BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    weighted = tl.zeros([BLOCK, WIDE], tl.float32)
    begin = tl.program_id(1) * share
    end = tl.minimum(begin + share, columns)
    for at in range(begin, end, BLOCK):
        column = at + slot
        rows, here, similarity = _similar(
            x, keys, index + anchor * columns, column, end, first, count, key_stride, dim_stride, DIM, WIDE
        )
        if KEEP:
            tl.store(kept + anchor * kept_stride + column, similarity, mask=here)
        similarity = tl.where(here, similarity, float("-inf"))
        higher = tl.maximum(top, similarity)
        # A slot that has met no negative stays at -inf: keep -inf - -inf out.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        rescale = tl.exp(top - base)
        term = tl.exp(similarity - base)
        total = total * rescale + term
        weighted = weighted * rescale[:, None] + term[:, None] * rows
        top = higher
    highest = tl.max(top, 0)
    rescale = tl.exp(top - tl.where(highest == float("-inf"), 0.0, highest))
    total_all = tl.sum(total * rescale, 0)
    divisor = tl.where(total_all > 0, total_all, 1.0)
    out = anchor * parts + part + tl.program_id(1)
    tl.store(log_sums + out, highest + tl.log(divisor))
    mean = tl.sum(weighted * rescale[:, None], 0) / divisor
    tl.store(means + out * DIM + dim, mean, mask=dim < DIM)


@triton.jit
def _log1p(e):
    """Return log(1 + e) for e in [0, 1], exact to rounding near 0, where the hardware's logarithm of 1 + e is not."""
    r = e / (2.0 + e)
    q = r * r
    series = 1.0 / 15 + q * (1.0 / 17)
    series = 1.0 / 11 + q * (1.0 / 13 + q * series)
    series = 1.0 / 7 + q * (1.0 / 9 + q * series)
    series = 1.0 / 3 + q * (1.0 / 5 + q * series)
    return 2.0 * r * (1.0 + q * series)


@triton.jit(do_not_specialize=["first", "count", "columns", "kept_stride", "share", "part", "parts"])
def _positives(
    anchors, keys, index, log_negatives, kept, terms, pulls, pulled,
    first, count, columns, kept_stride, share, part, parts, key_stride, dim_stride, scale,
    DIM: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """Add up softplus(Z - s) over a share of an anchor's positives in one table, its slope, and slope times key."""
    anchor = tl.program_id(0).to(tl.int64)
    dim = tl.arange(0, WIDE)
    slot = tl.arange(0, BLOCK)
    x = tl.load(anchors + anchor * DIM + dim, mask=dim < DIM, other=0.0) * scale
    z = tl.load(log_negatives + anchor)
    term = tl.zeros([BLOCK], tl.float32)
    pull = tl.zeros([BLOCK], tl.float32)
    weighted = tl.zeros([BLOCK, WIDE], tl.float32)
    begin = tl.program_id(1) * share
    end = tl.minimum(begin + share, columns)
    for at in range(begin, end, BLOCK):
        column = at + slot
        rows, here, similarity = _similar(
            x, keys, index + anchor * columns, column, end, first, count, key_stride, dim_stride, DIM, WIDE
        )
        # Without negatives Z is -inf, and both of these are 0.
        margin = z - similarity
        small = tl.exp(-tl.abs(margin))
        softplus = tl.maximum(margin, 0.0) + _log1p(small)
        sigmoid = tl.where(margin >= 0, 1.0, small) / (1.0 + small)
        sigmoid = tl.where(here, sigmoid, 0.0)
        if KEEP:
            tl.store(kept + anchor * kept_stride + column, sigmoid, mask=here)
        term += tl.where(here, softplus, 0.0)
        pull += sigmoid
        weighted += sigmoid[:, None] * rows
    out = anchor * parts + part + tl.program_id(1)
    tl.store(terms + out, tl.sum(term, 0))
    tl.store(pulls + out, tl.sum(pull, 0))
    tl.store(pulled + out * DIM + dim, tl.sum(weighted, 0), mask=dim < DIM)


@triton.jit(do_not_specialize=["columns"])
def _sum_by_key(
    anchors, weight, order, bounds, out, columns, DIM: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr
):
    """Sum the weighted anchors of a share of one key's pairs, which stand side by side in ``order``."""
    key = tl.program_id(0).to(tl.int64)
    dim = tl.arange(0, WIDE)
    slot = tl.arange(0, BLOCK)
    first = tl.load(bounds + key)
    last = tl.load(bounds + key + 1)
    share = tl.cdiv(last - first, tl.num_programs(1))
    begin = first + tl.program_id(1) * share
    end = tl.minimum(begin + share, last)
    acc = tl.zeros([BLOCK, WIDE], tl.float32)
    for at in range(begin, end, BLOCK):
        place = at + slot
        pair = tl.load(order + place, mask=place < end, other=0)
        slope = tl.load(weight + pair, mask=place < end, other=0.0)
        start = (pair // columns) * DIM
        inside = (place < end)[:, None] & (dim < DIM)[None, :]
        acc += slope[:, None] * tl.load(anchors + start[:, None] + dim[None, :], mask=inside, other=0.0)
    total = tl.sum(acc, 0).to(out.dtype.element_ty)
    tl.store(out + (key * tl.num_programs(1) + tl.program_id(1)) * DIM + dim, total, mask=dim < DIM)


def _tile(dim: int) -> dict[str, int]:
    wide = max(16, triton.next_power_of_2(dim))
    warps = max(1, min(8, wide // 256))
    return {"DIM": dim, "BLOCK": max(2, min(64, _TILE * warps // wide)), "WIDE": wide, "num_warps": warps}


def _splits(rows: int, columns: int) -> int:
    """Return into how many parts the columns of a row are split, so that few rows fill the GPU too."""
    return int(max(1, min(triton.cdiv(_PROGRAMS, rows), triton.cdiv(columns, _LEAST))))


@torch.library.custom_op("contrastbench::sampled_infonce", mutates_args=())
def _forward(
    anchors: Tensor, keys: list[Tensor], positives: Tensor, negatives: Tensor, temperature: float, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss ``[A]``, its gradient to the anchors ``[A, D]``, and that to each similarity times 1/tau.

    The last is ``[A, P + K]`` where ``keep``, which it takes for a table to learn, and empty otherwise.
    """
    amount, dim = anchors.shape
    split = positives.shape[1]
    slope = anchors.new_zeros(amount, split + negatives.shape[1] if keep else 0)
    slope[:, split:] = -torch.inf
    if amount == 0 or not keys:
        return anchors.new_zeros(amount), anchors.new_zeros(amount, dim), slope
    anchors, positives, negatives = anchors.contiguous(), positives.contiguous(), negatives.contiguous()
    tile = _tile(dim)

    def launch(kernel: Any, index: Tensor, *outputs: Tensor) -> None:
        parts = outputs[-1].shape[1]
        splits, first = parts // len(keys), 0
        share = triton.cdiv(triton.cdiv(index.shape[1], splits), tile["BLOCK"]) * tile["BLOCK"]
        for i, table in enumerate(keys):
            kernel[amount, splits](
                anchors, table, index, *outputs, first, len(table), index.shape[1], slope.shape[1], share, i * splits,
                parts, *table.stride(), 1 / temperature, KEEP=keep, **tile,
            )  # fmt: skip
            first += len(table)

    with torch.cuda.device_of(anchors):
        parts = len(keys) * _splits(amount, negatives.shape[1])
        log_sums, means = anchors.new_empty(amount, parts), anchors.new_empty(amount, parts, dim)
        launch(_negatives, negatives, slope[:, split:], log_sums, means)
        log_negatives = log_sums.logsumexp(1)
        finite = log_negatives.masked_fill(log_negatives.isneginf(), 0)[:, None]
        mean = ((log_sums - finite).exp()[..., None] * means).sum(1)

        parts = len(keys) * _splits(amount, split)
        terms, pulls = (anchors.new_empty(amount, parts) for _ in range(2))
        pulled = anchors.new_empty(amount, parts, dim)
        launch(_positives, positives, log_negatives, slope[:, :split], terms, pulls, pulled)

    counted = (positives >= 0).sum(1, keepdim=True).clamp_min(1).to(anchors)
    pull = pulls.sum(1, keepdim=True) / counted
    gradient = (pull * mean - pulled.sum(1) / counted) / temperature
    if keep:
        slope[:, :split] /= -counted * temperature
        slope[:, split:] = (slope[:, split:] - finite).exp() * (pull / temperature)
    return terms.sum(1) / counted[:, 0], gradient, slope


@_forward.register_fake
def _(
    anchors: Tensor, keys: list[Tensor], positives: Tensor, negatives: Tensor, temperature: float, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    amount, dim = anchors.shape
    columns = positives.shape[1] + negatives.shape[1] if keep else 0
    return anchors.new_empty(amount), anchors.new_empty(amount, dim), anchors.new_empty(amount, columns)


@torch.library.custom_op("contrastbench::sampled_infonce_to_keys", mutates_args=())
def _to_keys(anchors: Tensor, weight: Tensor, index: Tensor, first: int, count: int, dtype: torch.dtype) -> Tensor:
    """Return ``[count, D]`` (dtype): the sum of ``weight[a, k] * anchors[a]`` over the pairs of each key.

    The pairs are sorted by key and each key's are summed in their order: the same bits in every run.
    """
    dim = anchors.shape[1]
    if len(anchors) == 0 or index.shape[1] == 0 or count == 0:
        return anchors.new_zeros(count, dim, dtype=dtype)
    anchors, tile = anchors.contiguous(), _tile(dim)
    with torch.cuda.device_of(anchors):
        # Sorting 32-bit keys takes half the time; those of other tables go last.
        narrow = torch.int32 if count < 2**31 - 1 else torch.int64
        key = torch.where((index >= first) & (index < first + count), index - first, count).flatten().to(narrow)
        key, order = key.sort(stable=True)
        bounds = torch.searchsorted(key, torch.arange(count + 1, dtype=narrow, device=key.device))
        splits = _splits(count, index.numel() // count)
        out = anchors.new_empty(count, splits, dim, dtype=dtype if splits == 1 else torch.float32)
        _sum_by_key[count, splits](anchors, weight.contiguous(), order, bounds, out, index.shape[1], **tile)
    return out[:, 0] if splits == 1 else out.sum(1).to(dtype)


@_to_keys.register_fake
def _(anchors: Tensor, weight: Tensor, index: Tensor, first: int, count: int, dtype: torch.dtype) -> Tensor:
    return anchors.new_empty(count, anchors.shape[1], dtype=dtype)


@torch.library.custom_op("contrastbench::sampled_infonce_once", mutates_args=())
def _once(grad: Tensor, value: Tensor) -> Tensor:
    """Return the gradient; refuse to be differentiated, which follows from ``value`` whatever it depends on."""
    return grad.clone()


@_once.register_fake
def _(grad: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(grad)


def _refuse(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    raise RuntimeError("sampled_infonce: the kernel has no second derivative; ask for impl='reference'")


_once.register_autograd(_refuse)
_to_keys.register_autograd(_refuse)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    anchors, keys, positives, negatives, _, keep = inputs
    loss, gradient, slope = output
    ctx.mark_non_differentiable(gradient, slope)
    ctx.tables = [(table.shape[0], table.dtype) for table in keys]
    # No table is kept: a bank may be written before the backward pass.
    ctx.save_for_backward(loss, gradient, *((slope, anchors, positives, negatives) if keep else ()))


def _backward(ctx: Any, grad: Tensor, *others: Tensor) -> tuple[Any, ...]:
    loss, gradient, *kept = ctx.saved_tensors
    grad = _once(grad, loss)[:, None]
    learning = ctx.needs_input_grad[1]
    grad_keys: list[Tensor | None] = [None] * len(ctx.tables)
    if any(learning):
        slope, anchors, positives, negatives = kept
        weight, index = grad * slope, torch.cat([positives, negatives], 1)
        first = 0
        for i, (count, dtype) in enumerate(ctx.tables):
            if learning[i]:
                grad_keys[i] = _to_keys(anchors, weight, index, first, count, dtype)
            first += count
    return grad * gradient if ctx.needs_input_grad[0] else None, grad_keys, None, None, None, None


_forward.register_autograd(_backward, setup_context=_setup)


def sampled_infonce(
    anchors: Tensor, keys: Sequence[Tensor], positives: Tensor, negatives: Tensor, temperature: float
) -> Tensor:
    """See :func:`contrastbench.core.ops.sampled_infonce.api.sampled_infonce`."""
    keep = torch.is_grad_enabled() and any(table.requires_grad for table in keys)
    loss: Tensor = _forward(anchors, list(keys), positives, negatives, temperature, keep)[0]
    return loss
