"""The same values and gradients by Triton kernels: how they are launched, and what torch is told of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from contrastbench.core.ops.choice import interpreted
from contrastbench.core.ops.class_infonce.blocks import locate, readable, spans
from contrastbench.core.ops.class_infonce.triton_kernels import negatives_kernel, positives_kernel

# Bytes of shared memory that a program takes with 128 anchors and 16-bit keys. GPUs of capability 8.6, 8.9 and 12.0
# give it 101,376, which are enough for 64 anchors.
_SHARED = 114_688


class Tiles(NamedTuple):
    """Sizes of a launch: anchors and keys of a tile, part of D in one product, warps and stages."""

    anchors: int
    keys: int
    inner: int
    warps: int
    stages: int


def tiles(dtype: torch.dtype, dim: int, anchors: int, shared: int) -> tuple[Tiles, int, str]:
    """Return the tile, D brought to a power of two, and the precision of float32 products.

    Args:
        dtype: of the keys.
        dim: D.
        anchors: of a tile at most, 64 or 128.
        shared: bytes of shared memory that the device gives a program.
    """
    padded = max(16, triton.next_power_of_2(dim))
    precision = "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32x3"
    if interpreted():
        return Tiles(16, 16, 16 if dtype == torch.float32 else padded, 4, 1), padded, precision
    if dtype != torch.float32:
        anchors = anchors if shared >= _SHARED else 64
        return Tiles(anchors, 64, padded, anchors // 16, 2), padded, precision
    if precision == "ieee":
        return Tiles(64, 32, min(32, padded), 8, 3), padded, precision
    return Tiles(64, 64, min(32, padded), 8, 2), padded, precision


def _programs(device: torch.device) -> int:
    """Return how many programs make two rounds on a device: enough to even out, few enough for their partial sums."""
    return 6 if device.type == "cpu" else 2 * torch.cuda.get_device_properties(device).multi_processor_count


def _shared_memory(device: torch.device) -> int:
    if device.type == "cpu":
        return 0
    return int(triton.runtime.driver.active.utils.get_device_properties(device.index)["max_shared_mem"])


class _Launch:
    """What both kernels are given: anchors in the order of their classes, and where the keys lie."""

    def __init__(self, anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], rows: int) -> None:
        self.keys = readable(keys)
        shared = _shared_memory(anchors.device)
        self.tile, self.padded, self.precision = tiles(self.keys[0].dtype, anchors.shape[1], rows, shared)
        self.blocks = locate(self.keys, self.tile.keys)
        self.anchors = anchors.float().contiguous()
        self.labels, self.order = labels.contiguous().sort(stable=True)
        self.rows = triton.cdiv(len(anchors), self.tile.anchors)
        self.parts = max(1, min(_programs(anchors.device) // self.rows, self.blocks.tiles))

    def partial(self, *sizes: int) -> Tensor:
        return self.anchors.new_empty(self.parts, len(self.anchors), *sizes)

    def constants(self, lift: float) -> dict[str, Any]:
        tile = self.tile
        return {
            "BLOCK_A": tile.anchors,
            "BLOCK_M": tile.keys,
            "BLOCK_D": self.padded,
            "BLOCK_K": tile.inner,
            "ALIGNED": self.blocks.aligned,
            # Powers of float16 keys are lifted, as those below 6e-8 would be 0.
            "LIFT": lift,
            "PRECISION": self.precision,
            "WIDEN": interpreted() and self.keys[0].dtype == torch.bfloat16,
            "num_warps": tile.warps,
            "num_stages": tile.stages,
        }


@torch.library.custom_op(
    "contrastbench::class_infonce_negatives",
    mutates_args=(),
    schema="(Tensor anchors, Tensor labels, Tensor[] keys, float temperature) -> (Tensor, Tensor)",
)
def _negatives(anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float) -> tuple[Tensor, Tensor]:
    """Return the log-sum-exp ``[A]`` and its gradient to the anchors ``[A, D]``."""
    if anchors.numel() == 0:
        return anchors.new_full(anchors.shape[:1], -torch.inf), torch.zeros_like(anchors)
    launch = _Launch(anchors, labels, keys, 128)
    blocks = launch.blocks
    plan = torch.tensor(blocks.table + spans(blocks.table, blocks.tiles, launch.parts)).to(anchors.device)
    peak, total, mean = launch.partial(), launch.partial(), launch.partial(anchors.shape[1])
    with torch.cuda.device_of(anchors):
        negatives_kernel[(launch.rows, launch.parts)](
            launch.anchors, launch.order, launch.labels, blocks.base, plan, plan[len(blocks.table) :],
            peak, total, mean, len(anchors), anchors.shape[1], math.log2(math.e) / temperature,
            **launch.constants(15 if blocks.base.dtype == torch.float16 else 0),
        )  # fmt: skip
    highest = peak.amax(0)
    rescale = (peak - highest).exp2_()
    summed = (rescale * total).sum(0)
    none = summed == 0
    gradient = mean.mul_(rescale[..., None]).sum(0)
    gradient /= (summed.masked_fill(none, 1) * temperature)[:, None]
    value = ((highest + summed.log2()) * math.log(2)).masked_fill(none, -torch.inf)
    return value, gradient


@torch.library.custom_op(
    "contrastbench::class_infonce_positives",
    mutates_args=(),
    schema="(Tensor anchors, Tensor log_negatives, Tensor labels, Tensor[] keys, float temperature)"
    " -> (Tensor, Tensor, Tensor)",
)
def _positives(
    anchors: Tensor, log_negatives: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the terms ``[A]`` and their gradients to the anchors ``[A, D]`` and to ``log_negatives`` ``[A]``."""
    if anchors.numel() == 0:
        return torch.zeros_like(log_negatives), torch.zeros_like(anchors), torch.zeros_like(log_negatives)
    # Few anchors share a class: a smaller tile meets fewer classes that are not its own.
    launch = _Launch(anchors, labels, keys, 64)
    blocks = launch.blocks
    plan = torch.tensor(blocks.table).to(anchors.device)
    total, slope, pull = launch.partial(), launch.partial(), launch.partial(anchors.shape[1])
    with torch.cuda.device_of(anchors):
        positives_kernel[(launch.rows, launch.parts)](
            launch.anchors, log_negatives.contiguous(), launch.order, launch.labels, blocks.base, plan,
            total, slope, pull, len(anchors), len(keys), anchors.shape[1], 1 / temperature,
            **launch.constants(2.0**15 if blocks.base.dtype == torch.float16 else 1.0),
        )  # fmt: skip
    return total.sum(0), pull.sum(0).mul_(-1 / temperature), slope.sum(0)


@torch.library.custom_op(
    "contrastbench::class_infonce_scale", mutates_args=(), schema="(Tensor grad, Tensor formed) -> Tensor"
)
def _scale(grad: Tensor, formed: Tensor) -> Tensor:
    """Return a gradient formed on the way, scaled by the one that arrives.

    An op without a gradient of its own, so that a second derivative raises and is not wrong.
    """
    return grad.reshape(-1, *[1] * (formed.ndim - 1)) * formed


@_negatives.register_fake
def _(anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float) -> tuple[Tensor, Tensor]:
    return anchors.new_empty(anchors.shape[0]), anchors.new_empty(anchors.shape)


@_positives.register_fake
def _(
    anchors: Tensor, log_negatives: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    each = anchors.shape[0]
    return anchors.new_empty(each), anchors.new_empty(anchors.shape), anchors.new_empty(each)


@_scale.register_fake
def _(grad: Tensor, formed: Tensor) -> Tensor:
    return formed.new_empty(formed.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output[1:])
    ctx.num_keys = len(inputs[-2])


def _negatives_backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Any, ...]:
    (gradient,) = ctx.saved_tensors
    return _scale(grad, gradient), None, [None] * ctx.num_keys, None


def _positives_backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Any, ...]:
    gradient, slope = ctx.saved_tensors
    return _scale(grad, gradient), _scale(grad, slope), None, [None] * ctx.num_keys, None


_negatives.register_autograd(_negatives_backward, setup_context=_save)
_positives.register_autograd(_positives_backward, setup_context=_save)


def negative_logsumexp(anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], temperature: float) -> Tensor:
    """See :func:`contrastbench.core.ops.class_infonce.api.negative_logsumexp`."""
    value: Tensor = _negatives(anchors, labels, list(keys), temperature)[0]
    return value


def positive_terms(
    anchors: Tensor, labels: Tensor, keys: Sequence[Tensor], log_negatives: Tensor, temperature: float
) -> Tensor:
    """See :func:`contrastbench.core.ops.class_infonce.api.positive_terms`."""
    value: Tensor = _positives(anchors, log_negatives, labels, list(keys), temperature)[0]
    return value
