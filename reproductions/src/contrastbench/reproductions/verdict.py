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
from scipy.special import nctdtr, stdtrit

CONFIDENCE = 0.95
POWER = 0.8
"""How often the advised number of seeds is to decide a claim, were its gain and spread what they are taken to be."""
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
    metric is to be high or low. ``seeds_needed`` is given for an undecided claim only: how many pairs would decide it
    (see :func:`seeds_needed`), were gain and spread as measured; ``seeds_at_reported`` how many, were the gain as
    reported and the spread as measured. None when more than ``MOST_SEEDS`` would be needed or nothing can be said from
    a single pair.
    """

    outcome: Outcome
    pairs: int
    difference: float | None = None
    std: float | None = None
    interval: Interval | None = None
    reported_inside: bool | None = None
    seeds_needed: int | None = None
    seeds_at_reported: int | None = None


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
        seeds_at_reported=seeds_needed(reported_gain, summary.std) if outcome == "undecided" else None,
    )


def seeds_needed(gain: float, std: float) -> int | None:
    """Return the least number of pairs that decides a claim rightly in ``POWER`` of all trials.

    The power of the paired t-test: with n pairs of true mean ``gain`` and spread ``std``, t has a noncentral
    distribution, and the claim is decided where it is beyond the end of the interval.

    Args:
        gain: the true mean of the differences; its sign makes no difference.
        std: their standard deviation.

    Returns:
        At least 2; None when more than ``MOST_SEEDS`` (as it is for a gain of 0). The power grows with every pair, so
        the least number is found by bisection.
    """
    if gain == 0 or _power(gain, std, MOST_SEEDS) < POWER:
        return None
    low, high = 2, MOST_SEEDS
    while low < high:
        middle = (low + high) // 2
        if _power(gain, std, middle) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low


def _power(gain: float, std: float, n: int) -> float:
    if std == 0:
        return 1.0
    critical = stdtrit(n - 1, (1 + CONFIDENCE) / 2)
    missed = float(nctdtr(n - 1, abs(gain) / std * math.sqrt(n), critical))
    # for some gains of more than 35 standard errors SciPy has no value; at any n these are hardly ever missed
    return 1.0 if math.isnan(missed) else 1 - missed


@dataclass(frozen=True)
class Ranking:
    """How stable the order of rows is.

    ``agreement`` is Kendall's tau between the order by mean and the reported order, ``between_seeds`` the mean of it
    over pairs of seeds (None for one seed): 1 for the same order, 0 for no relation, -1 for the opposite. ``best`` is
    the row with the best mean, and ``best_in`` of ``seeds`` seeds it is the best.
    """

    rows: int
    seeds: int
    agreement: float
    between_seeds: float | None
    best: str
    best_in: int


def rank(
    values: Mapping[str, Mapping[int, float]], reported: Mapping[str, float], direction: Literal["higher", "lower"]
) -> Ranking | None:
    """Say how stable the order of rows is, over the seeds that all of them have.

    Args:
        values: the metric by row and seed.
        reported: the reported metric by row; rows without one take no part.
        direction: whether a high or a low metric is good.

    Returns:
        None where there are fewer than three rows, or no seed that all have.
    """
    rows = [row for row in values if row in reported]
    seeds = sorted(set.intersection(*(set(values[row]) for row in rows))) if rows else []
    if len(rows) < 3 or not seeds:
        return None
    sign = 1.0 if direction == "higher" else -1.0
    table = sign * np.array([[values[row][seed] for row in rows] for seed in seeds], dtype=np.float64)
    means = table.mean(0)
    pairs = [(i, j) for i in range(len(seeds)) for j in range(i)]
    between = [_kendall(table[i], table[j]) for i, j in pairs]
    best = int(means.argmax())
    return Ranking(
        rows=len(rows),
        seeds=len(seeds),
        agreement=_kendall(means, sign * np.array([reported[row] for row in rows])),
        between_seeds=float(np.mean(between)) if between else None,
        best=rows[best],
        best_in=int((table.argmax(1) == best).sum()),
    )


def _kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Return Kendall's tau-a: agreeing pairs minus opposed ones, of all pairs; ties are neither."""
    signs = [np.sign(x[:, None] - x) for x in (a, b)]
    return float((signs[0] * signs[1]).sum() / (len(a) * (len(a) - 1)))
