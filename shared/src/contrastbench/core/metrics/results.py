"""How a metric writes down what it found: None where there is no value, and values by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def number(value: float) -> float | None:
    """Return the value, or None for NaN: a class that is nowhere has no score."""
    return None if math.isnan(value) else float(value)


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean over the values there are, None where there is none."""
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def by_name(names: Sequence[str], values: Iterable[float]) -> dict[str, float | None]:
    """Return the values by name, None for NaN."""
    return {name: number(value) for name, value in zip(names, values, strict=True)}
