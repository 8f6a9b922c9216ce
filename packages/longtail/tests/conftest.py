"""Fixtures of the longtail tests."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Keep tests from competing for cores when they run side by side."""
    torch.set_num_threads(1)
