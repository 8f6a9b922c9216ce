from pathlib import Path

import pytest
import torch

from contrastbench.core import memory
from contrastbench.core.memory import forget_peak, memory_now, peak_memory

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux lets a process forget its peak"
)


def _take(megabytes: int) -> None:
    torch.ones(megabytes * 2**18)


@needs_proc
def test_the_peak_is_that_since_it_was_forgotten() -> None:
    _take(300)
    assert forget_peak()
    now, small = memory_now(), peak_memory()
    assert now is not None
    assert small is not None
    assert small < now + 100 * 2**20
    _take(200)
    large = peak_memory()
    assert large is not None
    assert large > small + 150 * 2**20


def test_elsewhere_the_peak_is_since_the_process_began(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(memory, "_FORGET", tmp_path / "none" / "none")
    assert not forget_peak()
    assert memory_now() is None
    peak = peak_memory()
    assert peak is None or peak > 2**20
