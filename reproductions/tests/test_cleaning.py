import os
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from contrastbench.reproductions.cleaning import leftovers, remove

ONE = ("toys/table-1", "seeds=1", "rows=plain", "hydra/launcher=basic")


def age(folder: Path, days: float) -> None:
    then = time.time() - days * 86400
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (then, then))


@pytest.fixture
def abandoned(reproduce: Any) -> Path:
    assert reproduce("run", *ONE) == 0
    assert reproduce("run", *ONE, "experiment.steps=5", "experiment.fail=bug") == 1
    (state,) = reproduce.folder.glob("runs/work/*/state")
    age(state.parent, 10)
    found: Path = state
    return found


def test_it_says_what_could_go_and_removes_it_when_told_to(reproduce: Any, abandoned: Path) -> None:
    half = reproduce.records()[0].with_name(".half.json.abc")
    half.touch()
    age(half, 10)
    assert reproduce("clean", "runs") == 0
    assert {one["path"] for one in reproduce.data["leftovers"]} == {str(abandoned), str(half)}
    assert not reproduce.data["removed"]
    assert abandoned.exists()
    assert reproduce("clean", "runs", "--yes") == 0
    assert reproduce.data["removed"]
    assert not abandoned.exists()
    assert not half.exists()
    assert len(reproduce.records()) == 1


def test_it_leaves_what_is_recent_kept_or_at_work(reproduce: Any, abandoned: Path) -> None:
    assert reproduce("clean", "runs", "--days", "11", "--yes") == 0
    with FileLock(abandoned.parent / "lock"):
        assert reproduce("clean", "runs", "--yes") == 0
    assert abandoned.exists()
    assert reproduce("run", *ONE, "experiment.steps=4", "keep_weights=true") == 0
    for state in reproduce.folder.glob("runs/work/*/state"):
        age(state.parent, 20)
    assert reproduce("clean", "runs", "--yes") == 0
    assert len(list(reproduce.folder.glob("runs/work/*/state/state.json"))) == 1


def test_what_has_begun_again_since_it_was_found_stays(reproduce: Any, abandoned: Path) -> None:
    (found,) = leftovers(reproduce.folder / "runs", 7)
    with FileLock(abandoned.parent / "lock"):
        assert not remove(found)
    assert abandoned.exists()
    assert remove(found)
    assert not abandoned.exists()


def test_a_folder_that_is_none_is_explained(reproduce: Any) -> None:
    assert reproduce("clean", "nowhere") == 2
    assert "is no folder of runs" in reproduce.err
