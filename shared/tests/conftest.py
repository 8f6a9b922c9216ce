"""Fixtures of the core's tests."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    # Where there is no GPU, kernels run in Triton's interpreter. It has to be chosen before anything imports Triton, as
    # torch's compiler does, and so here, in what pytest loads first.
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Keep tests from competing for cores when they run side by side."""
    torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20210926)
