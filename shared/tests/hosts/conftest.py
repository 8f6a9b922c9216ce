"""Fixtures of the hosts' tests."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def _mmseg_scope() -> Iterator[None]:
    """Let names in configurations mean mmsegmentation's, and keep the generators of other tests as they are."""
    import torch
    from mmengine.registry import DefaultScope

    with torch.random.fork_rng(), DefaultScope.overwrite_default_scope("mmseg"):
        yield
