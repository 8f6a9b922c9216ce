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


@pytest.mark.parametrize("average", [0, 1.0])
def test_an_impossible_average_is_explained(average: float) -> None:
    with pytest.raises(InputError, match=f"schedule.average is {average}"):
        SegmentorSchedule.read({**PAPER, "average": average})


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
