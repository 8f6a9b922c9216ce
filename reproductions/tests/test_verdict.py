import numpy as np
import pytest
from scipy import stats

from contrastbench.reproductions.verdict import MOST_SEEDS, half_width, judge, seeds_needed, summarize


def by_seed(values: list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def test_a_summary_is_scipys() -> None:
    values = [61.2, 63.0, 59.8, 62.2]
    summary = summarize(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert summary.n == 4
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.std == pytest.approx(np.std(values, ddof=1))
    assert summary.interval == pytest.approx((low, high))


def test_one_value_has_no_spread() -> None:
    summary = summarize([61.2])
    assert (summary.n, summary.mean, summary.std, summary.interval) == (1, 61.2, None, None)


def test_a_verdict_is_the_paired_t_test() -> None:
    better, worse = [62.0, 62.1, 63.3, 62.4, 60.9], [60.8, 61.3, 61.9, 60.6, 60.0]
    verdict = judge(by_seed(better), by_seed(worse), 2.9)
    expected = stats.ttest_rel(better, worse).confidence_interval(0.95)
    assert verdict.interval == pytest.approx((expected.low, expected.high))
    assert verdict.pairs == 5
    assert verdict.outcome == "reproduced"
    assert verdict.reported_inside is False
    assert judge(by_seed(better), by_seed(worse), 1.0).reported_inside is True
    swapped = judge(by_seed(worse), by_seed(better), 2.9)
    assert swapped.outcome == "contradicted"
    assert swapped.difference == pytest.approx(-(verdict.difference or 0))
    # of a metric that is to be low, the lower row is the better one
    assert judge(by_seed(worse), by_seed(better), 2.9, "lower").outcome == "reproduced"


def test_only_shared_seeds_are_paired() -> None:
    verdict = judge({0: 10.0, 1: 11.0, 7: 99.0}, {0: 9.0, 1: 9.5, 3: -99.0}, 1.0)
    assert verdict.pairs == 2
    assert verdict.difference == pytest.approx(1.25)


def test_without_a_pair_it_was_not_run_and_one_pair_decides_nothing() -> None:
    assert judge({0: 1.0}, {1: 0.0}, 1.0).outcome == "not run"
    verdict = judge({0: 9.0}, {0: 1.0}, 1.0)
    assert (verdict.outcome, verdict.pairs, verdict.difference) == ("undecided", 1, 8.0)
    assert verdict.interval is None
    assert verdict.seeds_needed is None


def test_an_undecided_claim_says_how_many_seeds_would_decide_it() -> None:
    verdict = judge(by_seed([1.0, 3.0, 2.5]), by_seed([0.0, 3.2, 1.1]), 1.0)
    assert verdict.outcome == "undecided"
    assert verdict.difference is not None
    assert verdict.std is not None
    n = verdict.seeds_needed
    assert n is not None
    assert n > 3
    assert half_width(verdict.std, n) < abs(verdict.difference) <= half_width(verdict.std, n - 1)


@pytest.mark.parametrize("mean", [0.3, -0.3, 1.0, 5.0])
def test_the_advised_number_of_seeds_is_the_least(mean: float) -> None:
    n = seeds_needed(mean, 1.7)
    least = next(k for k in range(2, MOST_SEEDS) if stats.t.ppf(0.975, k - 1) * 1.7 / k**0.5 < abs(mean))
    assert n == least


def test_what_no_number_of_seeds_would_decide_gets_none() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(0.01, 1.0) is None
    assert judge({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}, 1.0).outcome == "undecided"


def test_intervals_cover_at_the_stated_rate() -> None:
    rng = np.random.default_rng(0)
    trials, effect = 4000, 0.7
    for n in (3, 8):
        shared = rng.normal(60, 2, (trials, n))
        better = shared + effect + rng.normal(0, 1, (trials, n))
        worse = shared + rng.normal(0, 1, (trials, n))
        verdicts = [judge(by_seed(list(b)), by_seed(list(w)), effect) for b, w in zip(better, worse, strict=True)]
        covered = np.mean([v.reported_inside for v in verdicts])
        # three standard errors of a rate of 0.95
        assert covered == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / trials) ** 0.5)


def test_without_an_effect_few_claims_are_decided() -> None:
    rng = np.random.default_rng(1)
    outcomes = [
        judge(by_seed(list(a)), by_seed(list(b)), 1.0).outcome
        for a, b in zip(rng.normal(60, 1, (4000, 5)), rng.normal(60, 1, (4000, 5)), strict=True)
    ]
    for decided in ("reproduced", "contradicted"):
        assert outcomes.count(decided) / 4000 == pytest.approx(0.025, abs=0.008)
