from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("torchvision", reason="needs the torchvision extra")
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


def test_optimizer() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))

    optimizer = schedule(optimizer={"type": "AdamW", "lr": 0.5, "weight_decay": 0.1}).build_optimizer([weight])

    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["params"] == [weight]


@pytest.mark.parametrize(("iterations", "expected"), [(8, 1), (500, 50), (40000, 1000)])
def test_interval_of_checkpoints(iterations: int, expected: int) -> None:
    assert schedule(iterations=iterations).interval == expected
    assert schedule(iterations=iterations, checkpoint_every=7).interval == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"itertaions": 3}, "did you mean 'iterations'"),
        ({"iterations": 0}, "schedule.iterations is 0"),
        ({"batch_size": 2.0}, "schedule.batch_size is 2.0"),
        ({"optimizer": {"type": "AdmaW", "lr": 1}}, r"schedule.optimizer.type.*'AdamW'"),
        ({"optimizer": {"lr": 1}}, "unknown optimizer"),
        ({"optimizer": {"type": "SGD", "lr": 0.1, "momentun": 0.9}}, "SGD does not take these options.*momentun"),
        ({"optimizer": {"type": "SGD", "lr": -1}}, "SGD does not take these options.*learning rate"),
        ({"course": "onecycle"}, "did you mean 'one_cycle'"),
        ({"warmup": 100}, "schedule.warmup is 100"),
        ({"clip": 0}, "schedule.clip is 0"),
        ({"scale": [2, 1]}, "schedule.scale is"),
        ({"crop": [64]}, "schedule.crop is"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        schedule(**options)


def test_missing_options_are_named() -> None:
    with pytest.raises(InputError, match="lacks batch_size, optimizer; add schedule"):
        InstanceSchedule.read({"iterations": 3})
