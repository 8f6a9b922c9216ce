"""Whether formulations give the same: no speed is worth comparing otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from contrastbench.core.testing.bench.process import told


def differences(setup: Callable[[], Any], calls: Mapping[str, Callable[[Any], Any]]) -> dict[str, float | str]:
    """Return how far each formulation is from the first, relative to the largest element of each tensor.

    Args:
        setup: -> inputs; called anew for each formulation.
        calls: by name, inputs -> what is compared.

    Returns:
        By name: the largest relative difference, infinite where not even the shapes, the integers or the places of what
        is not finite are the same; or what the formulation raised, in one line.
    """
    expected: list[Tensor] | None = None
    found: dict[str, float | str] = {}
    for name, call in calls.items():
        torch.manual_seed(0)
        try:
            given = [_kept(leaf) for leaf in _leaves(call(setup()))]
        except Exception as error:
            found[name] = told(error)
            continue
        if expected is None:
            expected = given
            # A plain formulation that gives NaN is nothing to compare with.
            found[name] = 0.0 if not any(leaf.isnan().any() for leaf in given) else math.inf
        elif len(given) != len(expected):
            found[name] = math.inf
        else:
            found[name] = max((relative(a, b) for a, b in zip(given, expected, strict=True)), default=0.0)
    return found


def relative(a: Tensor, b: Tensor) -> float:
    """Return the largest difference of two tensors, relative to the largest finite element of the second."""
    if a.shape != b.shape or a.is_floating_point() != b.is_floating_point():
        return math.inf
    if not a.is_floating_point():
        return 0.0 if torch.equal(a.long(), b.long()) else math.inf
    a, b = a.double(), b.double()
    finite = b.isfinite()
    if a.isnan().any() or b.isnan().any() or not torch.equal(a[~finite], b[~finite]):
        return math.inf
    if not finite.any():
        return 0.0
    far = float((a[finite] - b[finite]).abs().max())
    size = float(b[finite].abs().max())
    return far / size if size else (0.0 if far == 0 else math.inf)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key])
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _leaves(one)
    elif value is not None:
        yield value


def _kept(leaf: Any) -> Tensor:
    return leaf.detach().cpu() if isinstance(leaf, Tensor) else torch.tensor(leaf)
