from typing import Any

import pytest

pytest.importorskip("mmseg", reason="needs the mmseg extra")
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg.schedule import SegmentorSchedule

PAPER: dict[str, Any] = {
    "iterations": 40000,
    "batch_size": 8,
    "crop": [512, 1024],
    "optimizer": {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iteratons": 3}, "did you mean 'iterations'"),
        ({"iterations": 0}, "schedule.iterations is 0"),
        ({"batch_size": 2.5}, "schedule.batch_size is 2.5"),
        ({"checkpoint_every": -1}, "schedule.checkpoint_every"),
        ({"warmup": 40000}, "schedule.warmup"),
        ({"average": 1.0}, "schedule.average"),
        ({"crop": [512]}, "schedule.crop"),
        ({"scale": [2.0, 0.5]}, "schedule.scale"),
        ({"optimizer": {"type": "AdmW"}}, "did you mean 'AdamW'"),
    ],
)
def test_impossible_options_are_explained(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SegmentorSchedule.read({**PAPER, **change})


def test_missing_options_are_named() -> None:
    with pytest.raises(InputError, match="lacks iterations, optimizer"):
        SegmentorSchedule.read({"batch_size": 8})


def test_learning_rate_follows_warmup_and_power() -> None:
    import torch
    from mmengine.optim import OptimWrapper
    from mmengine.registry import PARAM_SCHEDULERS

    schedule = SegmentorSchedule.read(
        {**PAPER, "iterations": 100, "warmup": 10, "optimizer": {"type": "SGD", "lr": 1.0}}
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    OptimWrapper(optimizer)
    courses = [PARAM_SCHEDULERS.build({**course, "optimizer": optimizer}) for course in schedule.learning_rate_config()]

    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for course in courses:
            course.step()

    assert rates[:10] == sorted(rates[:10])
    assert rates[0] == pytest.approx(1e-3)
    assert rates[55] == pytest.approx((1 - 45 / 90) ** 0.9, rel=0.02)
    assert rates[-1] == pytest.approx((1 / 90) ** 0.9, rel=0.05)
