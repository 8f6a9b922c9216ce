"""Purity against counting by hand, and a case worked on paper."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contrastbench.core.errors import InputError
from contrastbench.longtail.purity import purity


def mean(values):
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def by_hand(assignment, labels, truth, groups, subsets):
    def of_cluster(k, among=None):
        members = [
            t
            for i, (a, t) in enumerate(zip(assignment, truth, strict=True))
            if a == k and t >= 0 and (not among or among[i])
        ]
        return max(Counter(members).values()) / len(members) if members else None

    each = [of_cluster(k) for k in range(len(labels))]
    named = [k for k, label in enumerate(labels) if label >= 0]
    known = sum(t >= 0 for t in truth)
    largest = [
        Counter(t for a, t in zip(assignment, truth, strict=True) if a == k and t >= 0) for k in range(len(labels))
    ]
    return {
        "each": each,
        "average": mean([each[k] for k in named]),
        "overall": sum(max(c.values(), default=0) for c in largest) / known if known else None,
        "discovered": len(named),
        "confirmed": sum(bool(largest[k]) and largest[k][labels[k]] == max(largest[k].values()) for k in named),
        "novel": sum(k in assignment and labels[k] < 0 for k in range(len(labels))),
        "groups": {name: mean([each[k] for k in named if labels[k] in of]) for name, of in groups.items()},
        "subsets": {name: mean([of_cluster(k, mask) for k in named]) for name, mask in subsets.items()},
    }


@st.composite
def problems(draw):
    k, categories, n = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(0, 25))
    assignment = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    truth = draw(st.lists(st.integers(-1, categories - 1), min_size=n, max_size=n))
    order = draw(st.permutations(range(categories)))
    labels = [order[i] if i < categories and draw(st.booleans()) else -1 for i in range(k)]
    small = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return assignment, labels, truth, small


@settings(max_examples=200, deadline=None)
@given(problems())
def test_is_what_counting_gives(problem):
    assignment, labels, truth, small = problem
    groups = {"rare": [0, 3], "common": {1, 4}, "frequent": (2, 5, 99), "none": ()}
    integers = [torch.tensor(v, dtype=torch.int64) for v in (assignment, labels, truth)]
    found = purity(*integers, groups, {"small": torch.tensor(small, dtype=torch.bool)})
    # an empty mask is falsy, and so is no mask
    expected = by_hand(assignment, labels, truth, groups, {"small": small})
    assert [None if p != p else p for p in found.per_cluster.tolist()] == pytest.approx(expected["each"])
    for name in ("average", "overall", "discovered", "confirmed", "novel", "groups", "subsets"):
        assert getattr(found, name) == pytest.approx(expected[name]), name
    assert found.per_category == {
        label: pytest.approx(p)
        for label, p in zip(labels, expected["each"], strict=True)
        if label >= 0 and p is not None
    }


def test_a_case_worked_on_paper():
    """The textbook's figure 16.4: three clusters of 6, 6 and 5 with 5, 4 and 3 of their largest class."""
    assignment = torch.arange(3).repeat_interleave(torch.tensor([6, 6, 5]))
    truth = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 0])
    found = purity(assignment, torch.tensor([0, 1, -1]), truth, {"both": [0, 1], "second": [1]})
    assert found.overall == pytest.approx(12 / 17)
    assert found.average == pytest.approx((5 / 6 + 4 / 6) / 2)  # the third cluster is novel
    assert found.groups == {"both": pytest.approx(0.75), "second": pytest.approx(4 / 6)}
    assert (found.discovered, found.confirmed, found.novel) == (2, 2, 1)
    # a label that is not the largest class leaves the purity as it is, and is not confirmed
    other = purity(assignment, torch.tensor([1, 0, -1]), truth)
    assert (other.average, other.confirmed) == (found.average, 0)


def test_members_of_unknown_category_say_nothing():
    assignment = torch.tensor([0, 0, 0, 1])
    found = purity(assignment, torch.tensor([3, 5]), torch.tensor([3, -1, -1, -1]))
    assert found.per_category == {3: 1.0}
    assert found.average == 1.0
    assert found.discovered == 2
    assert found.confirmed == 1


def test_nothing_to_measure_is_none():
    found = purity(torch.tensor([0]), torch.tensor([-1]), torch.tensor([-1]), {"rare": [1]})
    assert (found.average, found.overall, found.groups, found.discovered, found.novel) == (
        None,
        None,
        {"rare": None},
        0,
        1,
    )


def test_bad_input_is_named():
    zero = torch.zeros(3, dtype=torch.int64)
    for arguments, message in (
        ((zero, zero[:1], zero[:2]), "3 points are assigned, 2 true categories"),
        ((zero + 1, zero[:1], zero), "assigned to cluster 1; labels are of 1"),
        ((zero - 1, zero[:1], zero), "assignment holds -1"),
        ((zero, zero[:1] - 2, zero), "labels holds -2"),
        ((zero, zero[:2], zero), "category 0 is the label of more than one cluster"),
        ((zero.float(), zero[:1], zero), "assignment: a list of int64"),
        ((zero, zero[:1], zero, None, {"small": zero}), r"subset 'small': a bool of shape \(3,\)"),
    ):
        with pytest.raises(InputError, match=message):
            purity(*arguments)
