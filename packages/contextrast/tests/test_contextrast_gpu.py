"""The same loss, gradients and choices on a GPU as on a CPU."""

from __future__ import annotations

import pytest
import torch
from contextrast_problem import objective, step_inputs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
]


@pytest.mark.parametrize(
    "choice",
    [{}, {"sampling": "semi_hard"}, {"sampling": "random"}, {"errors": "confused"}, {"batch_norm": True}],
    ids=["paper", "semi-hard", "random", "confused", "batch norm"],
)
def test_a_gpu_gives_what_a_cpu_gives(choice):
    modules = objective(**choice).double(), objective(**choice).double().cuda()
    for step in range(3):
        features, logits, labels, index = step_inputs(step)
        results = []
        for module, device in zip(modules, ("cpu", "cuda"), strict=True):
            x = tuple(f.double().to(device).requires_grad_() for f in features)
            out = module(x, logits.to(device), labels.to(device), index.to(device))
            grads = torch.autograd.grad(out["loss_contextrast"], x)
            counts = [v for k, v in out.items() if not k.startswith("loss")]
            results.append([v.detach().cpu() for v in (out["loss_contextrast"], *grads, *counts)])
        for actual, expected in zip(results[1], results[0], strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)
