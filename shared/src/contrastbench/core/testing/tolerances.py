"""One table of tolerances. A test that needs a looser one has found something out."""

from __future__ import annotations

import torch
from torch import Tensor

_RELATIVE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def assert_close(actual: Tensor, expected: Tensor, *, dtype: torch.dtype | None = None) -> None:
    """Assert that two tensors agree to the precision they were computed in.

    Args:
        actual: any shape.
        expected: of the same shape, any precision.
        dtype: the precision of the computation; that of ``actual`` by default. The tolerance is relative to
            each element, and to the largest one for elements near zero.
    """
    relative = _RELATIVE[dtype or actual.dtype]
    actual, expected = actual.detach(), expected.detach()
    finite = expected[expected.isfinite()]
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    torch.testing.assert_close(
        actual.double(),
        expected.double(),
        rtol=relative,
        atol=relative * largest,
        equal_nan=False,
    )
