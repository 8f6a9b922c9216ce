"""Instance training on a GPU, in half precision, interrupted and resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("torchvision", reason="needs the torchvision extra")
from small_instances import slim, write_shapes

from contrastbench.core.hosts.torchvision import InstanceTraining

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
]


@pytest.mark.parametrize("amp", [False, True])
def test_trains_and_resumes_on_a_gpu(tmp_path: Path, amp: bool) -> None:
    data = {"name": "folder", "root": str(write_shapes(tmp_path / "shapes", images=45))}
    schedule = {
        "iterations": 150,
        "batch_size": 4,
        "optimizer": {"type": "AdamW", "lr": 0.002},
        "course": "one_cycle",
        "warmup": 30,
        "amp": amp,
        "checkpoint_every": 50,
    }
    network = slim(width=16, fpn_channels=32, mask_channels=[32], mask_features=32, head_norm=True)
    objective = {"type": "mask_objectives.CompactMask", "weight": 0.01}
    experiment = InstanceTraining(network, data, schedule, objective, seed=0, device="cuda")

    def report(done: int, total: int) -> None:
        if done == 120:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiment.run(tmp_path / "run", report)
    metrics = experiment.run(tmp_path / "run")

    assert metrics["AP50"] > 50
    assert metrics["counts"]["steps"] == 150
    state = torch.load(tmp_path / "run" / "weights.pth", weights_only=True)["state_dict"]
    assert all(value.device.type == "cpu" and bool(value.isfinite().all()) for value in state.values())
