"""Eq. 3 of Wang et al. as it is written, one number at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence


def loop_infonce(
    anchor: Sequence[float],
    positives: Sequence[Sequence[float]],
    negatives: Sequence[Sequence[float]],
    temperature: float,
) -> float:
    """Return one anchor's loss in plain Python floats; 0 where there is no positive."""

    def similarity(key: Sequence[float]) -> float:
        return sum(a * b for a, b in zip(anchor, key, strict=True)) / temperature

    if not positives:
        return 0.0
    denominator = sum(math.exp(similarity(n)) for n in negatives)
    terms = [-math.log(math.exp(similarity(p)) / (math.exp(similarity(p)) + denominator)) for p in positives]
    return sum(terms) / len(terms)
