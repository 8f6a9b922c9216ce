import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contrastbench.core.errors import InputError
from contrastbench.core.samplers import HardestPairs, RandomPairs, SemiHardPairs

SAMPLERS = [RandomPairs(), HardestPairs(), SemiHardPairs(), SemiHardPairs(0.5)]


def new(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def hardness(draw):
    rows, columns = draw(st.integers(0, 5)), draw(st.integers(0, 30))
    seed = draw(st.integers(0, 1000))
    values = torch.rand(rows, columns, generator=new(seed))
    return values.masked_fill(torch.rand(rows, columns, generator=new(seed + 1)) < draw(st.floats(0, 1)), -torch.inf)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
@given(values=hardness(), k=st.integers(1, 40))
def test_choices_are_distinct_and_eligible(sampler, values, k):
    chosen = sampler(values, k, new())
    assert len(chosen) == len(values)
    assert chosen.shape[1] <= k
    for row, picks in zip(values, chosen.tolist(), strict=True):
        picks = [p for p in picks if p >= 0]
        assert len(set(picks)) == len(picks)
        assert torch.isfinite(row[picks]).all()
        eligible = int(torch.isfinite(row).sum())
        reach = -(-eligible * int(sampler.fraction * 10) // 10) if isinstance(sampler, SemiHardPairs) else eligible
        assert len(picks) == min(k, reach)


@given(values=hardness(), k=st.integers(1, 40))
def test_hardest_takes_the_largest(values, k):
    for row, picks in zip(values, HardestPairs()(values, k, new()).tolist(), strict=True):
        finite = sorted(row[torch.isfinite(row)].tolist(), reverse=True)
        assert sorted(row[[p for p in picks if p >= 0]].tolist(), reverse=True) == finite[:k]


@given(values=hardness(), k=st.integers(1, 40))
def test_semi_hard_stays_within_the_hardest_tenth(values, k):
    for row, picks in zip(values, SemiHardPairs()(values, k, new()).tolist(), strict=True):
        finite = sorted(row[torch.isfinite(row)].tolist(), reverse=True)
        tenth = finite[: -(-len(finite) // 10)]
        assert all(float(row[p]) in tenth for p in picks if p >= 0)


@pytest.mark.parametrize(("sampler", "reach"), [(RandomPairs(), 200), (SemiHardPairs(), 20)])
def test_every_key_within_reach_is_as_likely(sampler, reach):
    values = torch.rand(1, 200, generator=new(5))
    counts = torch.zeros(200)
    for seed in range(2000):
        counts[sampler(values, 5, new(seed))[0]] += 1
    within = values[0].topk(reach).indices
    p = 5 / reach
    assert (counts[within] / 2000 - p).abs().max() < 5 * (p * (1 - p) / 2000) ** 0.5
    assert counts.sum() == counts[within].sum()


def test_the_choice_does_not_depend_on_who_else_is_in_the_batch():
    values = torch.rand(6, 50, generator=new(3))
    for sampler in SAMPLERS:
        together = sampler(values, 4, new(9))
        alone = torch.cat([sampler(row[None], 4, new(9)) for row in values])
        assert torch.equal(together, alone)


def test_a_fraction_outside_its_range_is_refused():
    with pytest.raises(InputError, match="fraction"):
        SemiHardPairs(0.0)
