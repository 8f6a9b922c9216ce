"""What the schedules of all hosts have in common."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.schedule import Schedule


def schedule(**options: Any) -> Schedule:
    plain = {"iterations": 100, "batch_size": 2, "optimizer": {"type": "SGD", "lr": 0.01}}
    return Schedule.read({**plain, **options})


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


def test_lists_are_tuples_and_null_leaves_what_is() -> None:
    assert schedule(crop=[64, 32], scale=[1, 2]) == schedule(crop=(64, 32), scale=(1, 2))
    assert schedule(scale=None, crop=None) == schedule()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"itertaions": 3}, "did you mean 'iterations'"),
        ({"iterations": 0}, "schedule.iterations is 0"),
        ({"batch_size": 2.0}, "schedule.batch_size is 2.0"),
        ({"checkpoint_every": -1}, "schedule.checkpoint_every is -1"),
        ({"workers": -1}, "schedule.workers is -1"),
        ({"power": "high"}, "schedule.power is 'high'"),
        ({"warmup": 100}, "schedule.warmup is 100"),
        ({"warmup": None}, "schedule.warmup is None"),
        ({"scale": [2, 1]}, "schedule.scale is"),
        ({"scale": 0.5}, r"schedule.scale is \[0.5\]"),
        ({"crop": [64]}, "schedule.crop is"),
        ({"crop": 64}, r"schedule.crop is \[64\]"),
        ({"crop": []}, r"schedule.crop is \[\]"),
        ({"optimizer": "SGD"}, "schedule.optimizer is 'SGD'; give its type"),
        ({"optimizer": {"type": "AdmaW", "lr": 1}}, r"schedule.optimizer.type.*'AdamW'"),
        ({"optimizer": {"lr": 1}}, "unknown optimizer"),
        ({"optimizer": {"type": "SGD", "lr": 0.1, "momentun": 0.9}}, "SGD does not take these options.*momentun"),
        ({"optimizer": {"type": "SGD", "lr": -1}}, "SGD does not take these options.*learning rate"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        schedule(**options)


def test_missing_options_are_named() -> None:
    with pytest.raises(InputError, match="lacks batch_size, optimizer; add schedule"):
        Schedule.read({"iterations": 3})
