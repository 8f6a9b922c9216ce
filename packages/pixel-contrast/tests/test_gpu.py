"""The same losses, gradients and memory on a GPU as on a CPU."""

from __future__ import annotations

import pytest
import torch
from pixel_contrast_problem import objective, step_inputs

from contrastbench.pixel_contrast import RELEASED

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
]


@pytest.mark.parametrize(
    "choice",
    [{}, {"memory": "none"}, {"pairs": "all"}, {"pairs": "hardest"}, RELEASED | {"warmup": 0, "max_views": 3}],
    ids=["paper", "no memory", "all pairs", "hardest", "released"],
)
def test_a_gpu_gives_what_a_cpu_gives(choice):
    modules = objective(**choice).double(), objective(**choice).double().cuda()
    for step in range(4):
        features, logits, labels, index = step_inputs(step)
        results = []
        for module, device in zip(modules, ("cpu", "cuda"), strict=True):
            x = features.double().to(device).requires_grad_()
            loss = module((x,), logits.to(device), labels.to(device), index.to(device))["loss_contrast"]
            (grad,) = torch.autograd.grad(loss, x)
            results.append((loss.detach().cpu(), grad.cpu()))
        torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-12)
    for name, value in modules[0].state_dict().items():
        torch.testing.assert_close(modules[1].state_dict()[name].cpu(), value, rtol=1e-9, atol=1e-12, msg=name)
