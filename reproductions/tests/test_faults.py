"""SIGKILL at any instant loses nothing and changes nothing. The long form: python reproductions/tests/faults.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contrastbench.reproductions.ledger import Ledger

HERE = Path(__file__).parent
TOYS = ("--papers", str(HERE / "papers"), "toys/table-4", f"hydra.searchpath=[file://{HERE / 'conf'}]")
ROW = ("rows=narrow", "seeds=1", "hydra/launcher=basic")


def faults(folder: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / "faults.py"), "--folder", str(folder / "faults"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_killed_again_and_again_two_commands_end_as_if_undisturbed(tmp_path: Path) -> None:
    found = faults(tmp_path, "--kills", "8", "--", *TOYS, "seeds=2", "hydra/launcher=basic", "experiment.steps=120")
    assert sum(found["kills"].values()) == 8
    assert found["records"] == found["expected"] == 4
    assert found["identical"]


@pytest.mark.slow
def test_killed_at_each_change_to_the_disk_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    found = faults(tmp_path, "--every-write", "--", *TOYS, *ROW, "experiment.steps=2")
    # two checkpoints, a record and what is tidied up after it
    assert found["kills"]["at each change to the disk"] > 10


@pytest.mark.slow
def test_killed_the_training_of_a_host_ends_as_if_undisturbed(tmp_path: Path) -> None:
    row = ("pixel-contrast/table-1", "profile=smoke", "rows=baseline", *ROW[1:])
    often = ("schedule.iterations=40", "schedule.checkpoint_every=1")
    found = faults(tmp_path, "--kills", "3", "--reach", "0.3", "--", *row, *often)
    assert sum(found["kills"].values()) == 3
    assert found["identical"]


def leave(reproduce: Any, state: str) -> Path:
    """A recorded run with a checkpoint in its folder, whose progress ended with ``state``."""
    assert reproduce("run", "toys/table-1", *ROW[1:], "rows=plain") == 0
    (progress,) = reproduce.folder.glob("runs/work/*/progress.json")
    progress.write_text(json.dumps({**json.loads(progress.read_text()), "state": state}))
    folder = progress.parent / "state"
    folder.mkdir()
    (folder / "checkpoint.pth").touch()
    return folder


def test_what_a_run_killed_after_its_record_left_is_pruned_by_the_next(reproduce: Any) -> None:
    state = leave(reproduce, "running")
    assert reproduce("run", "toys/table-1", *ROW[1:], "rows=plain", "keep_weights=true") == 0
    assert state.exists()
    assert reproduce("run", "toys/table-1", *ROW[1:], "rows=plain") == 0
    assert not state.exists()
    assert len(reproduce.records()) == 1


def test_weights_that_were_kept_stay(reproduce: Any) -> None:
    state = leave(reproduce, "finished")
    assert reproduce("run", "toys/table-1", *ROW[1:], "rows=plain") == 0
    assert state.exists()


def test_a_failed_run_keeps_its_state_and_its_time(reproduce: Any) -> None:
    words = ("toys/table-1", *ROW[1:], "rows=plain", "experiment.pause=0.2")
    assert reproduce("run", *words, "experiment.fail=bug") == 1
    (progress,) = reproduce.folder.glob("runs/work/*/progress.json")
    spent = json.loads(progress.read_text())["seconds"]
    assert (progress.parent / "state" / "state.json").is_file()
    assert reproduce("run", *words, "experiment.fail=bug") == 1
    assert json.loads(progress.read_text())["seconds"] > spent + 0.2


def test_nobody_prunes_what_another_holds(reproduce: Any) -> None:
    from contrastbench.reproductions.compose import hydra_session
    from contrastbench.reproductions.plan import make_plan
    from contrastbench.reproductions.tables import find_table

    state = leave(reproduce, "running")
    with hydra_session():
        (run,) = make_plan(
            find_table("toys/table-1", HERE / "papers"), ["seeds=1", "rows=plain", "hydra/launcher=basic", TOYS[-1]]
        ).runs
    ledger = Ledger(reproduce.folder / "runs" / "records", reproduce.folder / "runs")
    assert ledger.state_dir(run) == state
    with ledger.lock(run, wait=False) as held:
        assert held
        Ledger(ledger.records, ledger.runs).prune_leftover(run)
        assert state.exists()
    ledger.prune_leftover(run)
    assert not state.exists()
