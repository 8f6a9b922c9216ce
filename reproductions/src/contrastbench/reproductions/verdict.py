"""What the measurements say: mean and interval of a row, and of a claim whether it held.

Pure functions of numbers. Rows are paired by seed: runs that share a seed share initial weights and the
order of the data, so their difference varies less than the runs themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
MOST_SEEDS = 1000
"""Beyond so many seeds no number is advised: the claim is not worth deciding at this spread."""

Outcome = Literal["reproduced", "contradicted", "undecided", "not run"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """What is known of a row: mean, standard deviation (n - 1), and the t-interval of the mean.

    ``std`` and ``interval`` are None where there is only one value.
    """

    n: int
    mean: float
    std: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Verdict:
    """What is known of a claim, from the paired differences (better row minus worse row).

    The sign of ``difference`` is such that positive means the claim's better row is better, whether the
    metric is to be high or low. ``seeds_needed`` is given for an undecided claim only: the least number
    of pairs whose interval would leave out 0, were mean and spread to stay as measured; None when more
    than ``MOST_SEEDS`` would be needed or nothing can be said from a single pair.
    """

    outcome: Outcome
    pairs: int
    difference: float | None = None
    std: float | None = None
    interval: Interval | None = None
    reported_inside: bool | None = None
    seeds_needed: int | None = None


def summarize(values: Sequence[float]) -> Summary:
    """Summarize the values of one row over its seeds (at least one)."""
    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    mean = float(array.mean())
    if n < 2:
        return Summary(n, mean, None, None)
    std = float(array.std(ddof=1))
    half = half_width(std, n)
    return Summary(n, mean, std, (mean - half, mean + half))


def half_width(std: float, n: int) -> float:
    """Return half the width of the 95 % t-interval of a mean of ``n`` values with this spread."""
    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(n)


def judge(
    better: Mapping[int, float],
    worse: Mapping[int, float],
    reported_gain: float,
    direction: Literal["higher", "lower"] = "higher",
) -> Verdict:
    """Say of a claim whether it held.

    Args:
        better: the metric by seed, of the row the claim says is better.
        worse: the same of the other row.
        reported_gain: the gain the paper reports, positive when the better row is better.
        direction: whether a high or a low metric is good.

    Returns:
        ``reproduced`` when the 95 % interval of the paired difference lies above 0, ``contradicted`` when
        it lies below, ``undecided`` when it includes 0 or there is one pair, ``not run`` without a pair.
    """
    sign = 1.0 if direction == "higher" else -1.0
    differences = [sign * (better[seed] - worse[seed]) for seed in sorted(better.keys() & worse.keys())]
    if not differences:
        return Verdict("not run", 0)
    summary = summarize(differences)
    if summary.std is None or summary.interval is None:
        return Verdict("undecided", 1, summary.mean)
    low, high = summary.interval
    outcome: Outcome = "reproduced" if low > 0 else "contradicted" if high < 0 else "undecided"
    return Verdict(
        outcome=outcome,
        pairs=summary.n,
        difference=summary.mean,
        std=summary.std,
        interval=summary.interval,
        reported_inside=low <= reported_gain <= high,
        seeds_needed=seeds_needed(summary.mean, summary.std) if outcome == "undecided" else None,
    )


def seeds_needed(mean: float, std: float) -> int | None:
    """Return the least number of pairs whose interval leaves out 0 at this mean and spread.

    None when it is more than ``MOST_SEEDS`` (as it is for a mean of 0). The interval narrows with every
    pair, so the least number is found by bisection.
    """
    if half_width(std, MOST_SEEDS) >= abs(mean):
        return None
    low, high = 2, MOST_SEEDS
    while low < high:
        middle = (low + high) // 2
        if half_width(std, middle) < abs(mean):
            high = middle
        else:
            low = middle + 1
    return low
