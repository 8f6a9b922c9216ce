import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contrastbench.contextrast.bane import distance_map, error_map, nearest_to_edge

# truth 1 is one block; the network sees 2 in its middle part, and 0 in two pixels of its right end
TRUTH = torch.tensor(
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, -1, -1],
    ]
)[None]
PREDICTED = torch.tensor(
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 2, 2, 2, 1, 0, 0],
        [0, 1, 2, 2, 2, 1, 0, 0],
        [0, 1, 2, 2, 2, 1, 1, 0],
        [2, 0, 0, 0, 0, 0, 2, 0],
    ]
)[None]
ERRORS = torch.tensor(
    [
        [-1, -1, -1, -1, -1, -1, -1, -1],
        [-1, -1, 1, 1, 1, -1, 1, -1],
        [-1, -1, 1, 1, 1, -1, 1, -1],
        [-1, -1, 1, 1, 1, -1, -1, -1],
        [0, -1, -1, -1, -1, -1, -1, -1],
    ]
)[None]


def test_an_error_map_is_that_of_eq_6_for_every_class():
    errors = error_map(TRUTH, PREDICTED)
    assert torch.equal(errors, ERRORS)
    for n in range(3):
        printed = (n != PREDICTED) & (n == TRUTH)  # Eq. 6
        assert torch.equal(errors == n, printed)


def test_distances_are_to_the_edge_of_the_errors_of_one_class():
    distances = distance_map(ERRORS)
    expected = torch.tensor(
        [
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 1, 1, 1, 0, 1, 0],
            [0, 0, 1, 2, 1, 0, 1, 0],
            [0, 0, 1, 1, 1, 0, 0, 0],
            [1, 0, 0, 0, 0, 0, 0, 0],
        ]
    )
    assert torch.equal(distances[0], expected.float())
    # an error of another class is outside, as if it were right
    both = ERRORS.clone()
    both[0, 2, 3] = 2
    assert distance_map(both)[0, 2, 2:5].tolist() == [1, 1, 1]


def test_exactly_the_pixels_at_the_edge_are_taken():
    """Class 1 has 11 errors, one of them inside: any 90 per cent (10 of them) leave that one out."""
    distances = distance_map(ERRORS)
    for seed in range(5):
        draws = torch.rand(ERRORS.shape, generator=torch.Generator().manual_seed(seed))
        chosen = nearest_to_edge(ERRORS, distances, draws, 90)
        expected = ERRORS >= 0
        expected[0, 2, 3] = False
        assert torch.equal(chosen, expected)


def test_ties_are_broken_by_the_draws():
    draws = torch.rand(ERRORS.shape, generator=torch.Generator().manual_seed(0))
    chosen = nearest_to_edge(ERRORS, distance_map(ERRORS), draws, 50)
    edge = (ERRORS == 1) & (distance_map(ERRORS) == 1)
    smallest = draws[edge].sort().values[5]  # 50 per cent of 11 are 6
    assert torch.equal(chosen & (ERRORS == 1), edge & (draws <= smallest))
    other = torch.rand(ERRORS.shape, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(nearest_to_edge(ERRORS, distance_map(ERRORS), other, 50), chosen)


def test_the_ends_of_k():
    draws, distances = torch.rand(ERRORS.shape), distance_map(ERRORS)
    assert not nearest_to_edge(ERRORS, distances, draws, 0).any()
    assert torch.equal(nearest_to_edge(ERRORS, distances, draws, 100), ERRORS >= 0)


def test_what_is_ignored_is_never_an_error():
    everything_wrong = torch.full_like(PREDICTED, 4)
    errors = error_map(torch.full_like(TRUTH, -1), everything_wrong)
    assert (errors == -1).all()
    assert not distance_map(errors).any()
    assert not nearest_to_edge(errors, distance_map(errors), torch.rand(errors.shape), 100).any()


def test_an_image_that_is_one_error_has_no_edge():
    errors = torch.zeros(1, 4, 4, dtype=torch.int64)
    distances = distance_map(errors)
    assert torch.isinf(distances).all()
    assert nearest_to_edge(errors, distances, torch.rand(errors.shape), 50).sum() == 8


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), percent=st.integers(0, 100), classes=st.integers(1, 4))
def test_of_each_image_and_class_the_nearest_k_per_cent(seed, percent, classes):
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(-1, classes, (2, 7, 9), generator=generator)
    truth = truth.repeat_interleave(2, 2)
    predicted = torch.randint(0, classes, truth.shape, generator=generator)
    errors = error_map(truth, predicted)
    distances, draws = distance_map(errors), torch.rand(truth.shape, generator=generator)
    chosen = nearest_to_edge(errors, distances, draws, percent)
    assert not chosen[errors < 0].any()
    for image in range(2):
        for n in range(classes):
            here = errors[image] == n
            count = int(here.sum())
            taken = chosen[image] & here
            assert int(taken.sum()) == math.ceil(count * percent / 100)
            if taken.any() and (here & ~taken).any():
                last = max(zip(distances[image][taken].tolist(), draws[image][taken].tolist(), strict=True))
                left = here & ~taken
                first = min(zip(distances[image][left].tolist(), draws[image][left].tolist(), strict=True))
                assert last < first


@pytest.mark.parametrize("shape", [(0, 4, 4), (2, 0, 4)])
def test_nothing_to_do(shape):
    errors = torch.zeros(shape, dtype=torch.int64)
    assert distance_map(errors).shape == shape
    assert nearest_to_edge(errors, torch.zeros(shape), torch.zeros(shape), 50).shape == shape
