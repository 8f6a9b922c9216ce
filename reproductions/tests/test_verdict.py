import numpy as np
import pytest
from scipy import stats

from contrastbench.reproductions.verdict import judge, rank, seeds_needed, summarize


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
    verdict = judge(by_seed([1.0, 3.0, 2.5]), by_seed([0.0, 3.2, 1.1]), 2.0)
    assert verdict.outcome == "undecided"
    assert verdict.difference is not None
    assert verdict.std is not None
    assert verdict.seeds_needed == seeds_needed(verdict.difference, verdict.std)
    assert verdict.seeds_at_reported == seeds_needed(2.0, verdict.std)
    assert verdict.seeds_needed > 3


@pytest.mark.parametrize("gain", [0.3, -0.3, 1.0, 5.0])
def test_the_advised_number_of_seeds_decides_in_four_of_five_trials(gain: float) -> None:
    std, trials = 1.7, 2000
    n = seeds_needed(gain, std)
    assert n is not None

    def decided(pairs: int) -> float:
        draws = np.random.default_rng(0).normal(gain, std, (trials, pairs))
        half = stats.t.ppf(0.975, pairs - 1) * draws.std(1, ddof=1) / pairs**0.5
        return float((np.sign(gain) * draws.mean(1) > half).mean())

    error = 3 * (0.8 * 0.2 / trials) ** 0.5
    assert decided(n) >= 0.8 - error
    assert n == 2 or decided(n - 1) < 0.8 + error


def test_on_planted_rows_the_advice_of_a_first_look_decides_as_promised() -> None:
    """Rows with a planted gain and shared noise: as many seeds as advised for it, and most trials are decided."""
    rng, gain, spread = np.random.default_rng(3), 0.8, 1.0
    n = seeds_needed(gain, spread * 2**0.5)
    assert n is not None
    outcomes = []
    for _ in range(500):
        shared = rng.normal(60, 5, n)
        better, worse = (shared + shift + rng.normal(0, spread, n) for shift in (gain, 0.0))
        outcomes.append(judge(by_seed(list(better)), by_seed(list(worse)), gain).outcome)
    assert outcomes.count("reproduced") / 500 >= 0.8 - 3 * (0.8 * 0.2 / 500) ** 0.5
    assert outcomes.count("contradicted") / 500 < 0.01


@pytest.mark.parametrize(("gain", "seeds"), [(1.732, 5), (2.45, 4), (2.495, 4), (27.9, 2), (1e12, 2)])
def test_a_gain_that_is_large_for_its_spread_needs_few_seeds(gain: float, seeds: int) -> None:
    # where SciPy's noncentral t has gaps, with many more seeds than these
    assert seeds_needed(gain, 1.0) == seeds


def test_what_no_number_of_seeds_would_decide_gets_none() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(0.01, 1.0) is None
    assert seeds_needed(1.0, 0.0) == 2
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


def test_a_ranking_says_how_stable_it_is() -> None:
    reported = {"a": 1.0, "b": 2.0, "c": 3.0}
    same = {"a": by_seed([1, 1]), "b": by_seed([2, 2]), "c": by_seed([3, 3.0])}
    ranking = rank(same, reported, "higher")
    assert ranking is not None
    assert (ranking.agreement, ranking.between_seeds, ranking.best, ranking.best_in) == (1, 1, "c", 2)

    # of a metric that is to be low the best row is the lowest, in both orders
    lower = rank(same, reported, "lower")
    assert lower is not None
    assert (lower.agreement, lower.best) == (1, "a")

    # one seed has the order turned round: each of the three pairs of rows is opposed between the two seeds
    turned = {"a": by_seed([1, 3.5]), "b": by_seed([2, 2]), "c": by_seed([3, 1.0])}
    ranking = rank(turned, reported, "higher")
    assert ranking is not None
    assert ranking.between_seeds == -1
    assert ranking.best == "a"
    assert ranking.best_in == 1


def test_what_is_no_ranking_has_none() -> None:
    assert rank({"a": by_seed([1.0]), "b": by_seed([2.0])}, {"a": 1, "b": 2}, "higher") is None
    three = {"a": by_seed([1.0]), "b": {1: 2.0}, "c": by_seed([3.0])}
    assert rank(three, {"a": 1, "b": 2, "c": 3}, "higher") is None


def test_the_agreement_of_two_orders_is_scipys() -> None:
    rng = np.random.default_rng(5)
    rows = [f"row {i}" for i in range(7)]
    values = {row: by_seed(list(rng.normal(size=3))) for row in rows}
    reported = {row: float(value) for row, value in zip(rows, rng.normal(size=7), strict=True)}
    ranking = rank(values, reported, "higher")
    assert ranking is not None
    means = [np.mean(list(values[row].values())) for row in rows]
    assert ranking.agreement == pytest.approx(stats.kendalltau(means, list(reported.values())).statistic)
