import pytest
import torch

from contrastbench.contextrast.negatives import choose_negatives
from contrastbench.contextrast.positives import choose_positives

# one row of pixels: truth, prediction; the third and the ninth are right, the last is ignored
TRUTH = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, -1])
PREDICTED = torch.tensor([1, 2, 0, 0, 2, 0, 0, 1, 2, 0])
ERRORS = (TRUTH != PREDICTED) & (TRUTH >= 0)
ANCHORS = torch.tensor([0, 1, 2])


def chosen(reading: str, limit: int = 100, minimum: int = 0, seed: int = 0, errors=ERRORS, anchors=ANCHORS):
    """The negatives of each anchor, by class, and the counts."""
    draws = torch.rand(len(TRUTH), generator=torch.Generator().manual_seed(seed))
    found = choose_negatives(anchors, TRUTH, PREDICTED, errors, draws, reading=reading, limit=limit, minimum=minimum)
    rows = {int(c): set(found.pixels[row].tolist()) for c, row in zip(anchors, found.against, strict=True)}
    return rows, found


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ("union", {0: {3, 4, 5, 6, 7}, 1: {0, 1, 6, 7}, 2: {0, 1, 3, 4, 5}}),
        ("confused", {0: {3, 5, 6}, 1: {0, 7}, 2: {1, 4}}),
        ("literal", {0: {0, 1}, 1: {3, 4, 5}, 2: {6, 7}}),
    ],
)
def test_three_readings_of_eq_6(reading, expected):
    rows, found = chosen(reading)
    assert rows == expected
    assert (found.errors, found.random) == (sum(map(len, expected.values())), 0)


def test_a_limit_takes_as_many_at_random():
    everything, _ = chosen("union")
    seen = {c: set() for c in everything}
    for seed in range(20):
        rows, found = chosen("union", limit=2, seed=seed)
        assert found.errors == 6
        for c, row in rows.items():
            assert len(row) == 2
            assert row <= everything[c]
            seen[c] |= row
    assert seen == everything


@pytest.mark.parametrize("reading", ["union", "confused", "literal"])
def test_too_few_are_topped_up_with_other_classes(reading):
    everything, _ = chosen(reading)
    for seed in range(10):
        rows, found = chosen(reading, minimum=6, limit=6, seed=seed)
        others = {c: {i for i, t in enumerate(TRUTH.tolist()) if t not in (c, -1)} for c in rows}
        for c, row in rows.items():
            assert everything[c] <= row
            assert row - everything[c] <= others[c]
            assert len(row) == 6 if reading != "literal" else len(row) >= 6
        assert found.random == sum(len(row) for row in rows.values()) - found.errors > 0


@pytest.mark.parametrize("reading", ["union", "confused"])
@pytest.mark.parametrize("minimum", [0, 1, 3, 5])
def test_no_more_are_topped_up_than_are_missing(reading, minimum):
    everything, _ = chosen(reading)
    rows, found = chosen(reading, minimum=minimum, limit=10)
    assert {c: len(row) for c, row in rows.items()} == {c: max(len(e), minimum) for c, e in everything.items()}
    assert found.random == sum(max(0, minimum - len(e)) for e in everything.values())


def test_without_errors_all_are_random_and_never_the_anchors_own():
    none = torch.zeros_like(ERRORS)
    for seed in range(10):
        rows, found = chosen("union", minimum=4, limit=4, seed=seed, errors=none)
        assert found.errors == 0
        for c, row in rows.items():
            assert len(row) == 4
            assert all(TRUTH[i] not in (c, -1) for i in row)


def test_only_anchors_that_are_there_are_asked_for():
    rows, found = chosen("union", anchors=torch.tensor([2]))
    assert rows == {2: {0, 1, 3, 4, 5}}
    assert found.against.shape == (1, 5)  # what is nobody's negative is not embedded


def test_positives_are_a_random_part_of_each_class():
    for limit in (1, 2, 5):
        draws = torch.rand(len(TRUTH), generator=torch.Generator().manual_seed(limit))
        pixels = choose_positives(TRUTH, draws, limit)
        assert pixels.tolist() == sorted(pixels.tolist())
        for c in range(3):
            own = torch.nonzero(c == TRUTH).flatten()
            expected = own[draws[own].argsort()[:limit]]
            assert set(pixels[TRUTH[pixels] == c].tolist()) == set(expected.tolist())
        assert (TRUTH[pixels] >= 0).all()
