"""Fixtures of the hosts' tests."""

import importlib
import importlib.util
from collections.abc import Iterator

import pytest

if importlib.util.find_spec("mmseg") is not None:
    # Before any test imports parts of mmsegmentation, which need what the host stands in for.
    importlib.import_module("contrastbench.core.hosts.mmseg")
if importlib.util.find_spec("detectron2") is not None:
    # Before any test imports parts of detectron2, which warn where the host does not let them.
    importlib.import_module("contrastbench.core.hosts.detectron2")


@pytest.fixture
def _mmseg_scope() -> Iterator[None]:
    """Let names in configurations mean mmsegmentation's, and keep the generators of other tests as they are."""
    import torch
    from mmengine.registry import DefaultScope

    with torch.random.fork_rng(), DefaultScope.overwrite_default_scope("mmseg"):
        yield
