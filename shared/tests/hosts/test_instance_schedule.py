from __future__ import annotations

from typing import Any

import pytest

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.instance_schedule import InstanceSchedule


def schedule(**options: Any) -> InstanceSchedule:
    plain = {"iterations": 100, "batch_size": 2, "optimizer": {"type": "SGD", "lr": 0.01}}
    return InstanceSchedule.read({**plain, **options})


def test_steps() -> None:
    course = schedule(warmup=10, milestones=[50, 80])

    assert [course.factor(step) for step in (10, 49, 50, 79, 80, 99)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert course.factor(0) == pytest.approx(1e-3)
    assert course.factor(5) == pytest.approx(0.5005)
    assert schedule(milestones=50) == schedule(milestones=[50])


def test_poly() -> None:
    course = schedule(course="poly", warmup=20, power=2.0)

    assert course.factor(10) == pytest.approx(0.5005)
    assert course.factor(60) == pytest.approx(0.25)
    assert 0 < course.factor(99) < 0.001


def test_one_cycle() -> None:
    course = schedule(course="one_cycle", warmup=20)
    factors = [course.factor(step) for step in range(100)]

    assert factors[0] == pytest.approx(1 / 25)
    assert factors[20] == max(factors) == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[:21] == sorted(factors[:21])
    assert factors[20:] == sorted(factors[20:], reverse=True)
    assert 0 < factors[99] < 0.001


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"course": "onecycle"}, "did you mean 'one_cycle'"),
        ({"clip": 0}, "schedule.clip is 0"),
        ({"milestones": ["50"]}, r"schedule.milestones is \['50'\]"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        schedule(**options)
