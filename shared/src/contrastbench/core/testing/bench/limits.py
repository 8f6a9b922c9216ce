"""What the machine can do: how fast it copies memory and multiplies matrices, measured beside the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from contrastbench.core.testing.bench.case import Precision
from contrastbench.core.testing.bench.timing import time_calls

COPY = "bytes_per_second"
_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}
# Copied bytes: more than any cache holds. Sides of the matrices: large enough for the full rate.
_SIZES = {"cpu": (2**28, 2048), "cuda": (2**30, 8192)}


def measure_limits(device: str, precisions: frozenset[Precision]) -> dict[str, float]:
    """Measure what bounds every benchmark on this device with this many threads.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
        precisions: of matrix products; on a GPU fp32, tf32 and bf16 are measured in any case, on a CPU fp32.

    Returns:
        ``bytes_per_second`` of a copy, reading and writing counted; and by precision the flops per second of a square
        matrix product, one multiply-add counted as two.
    """
    size, side = _SIZES[device]
    always: tuple[Precision, ...] = ("fp32", "tf32", "bf16") if device == "cuda" else ("fp32",)
    return {
        COPY: 2 * size / _seconds_of_a_copy(device, size),
        **{p: 2 * side**3 / _seconds_of_a_product(device, side, p) for p in (*always, *sorted(precisions - {*always}))},
    }


def least_seconds(flops: float, moved_bytes: float, precision: Precision, limits: Mapping[str, float]) -> float:
    """Return the time below which no formulation can be, by arithmetic or by traffic, whichever bounds."""
    return max(flops / limits[precision], moved_bytes / limits[COPY])


def _seconds_of_a_copy(device: str, size: int) -> float:
    def setup() -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(size, dtype=torch.int8, device=device), torch.zeros(size, dtype=torch.int8, device=device)

    return time_calls(setup, {"copy": lambda pair: pair[0].copy_(pair[1])}, device, 5)["copy"].seconds


def _seconds_of_a_product(device: str, side: int, precision: Precision) -> float:
    def setup() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        a, b = (torch.randn(side, side, device=device).to(_DTYPES[precision]) for _ in range(2))
        return a, b, torch.empty_like(a)

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        return time_calls(setup, {"product": lambda m: torch.mm(m[0], m[1], out=m[2])}, device, 5)["product"].seconds
    finally:
        torch.set_float32_matmul_precision(before)
