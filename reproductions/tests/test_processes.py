"""What only shows with several processes: interruption, killing, sharing, and the launchers."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

SLOW = ("experiment.pause=0.2", "experiment.steps=5")


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def runs_and_steps(reproduce: Any) -> list[tuple[str, str]]:
    return sorted(reproduce.steps)


def all_steps(seeds: int) -> list[tuple[str, str]]:
    return sorted((f"{g}/{s}", str(k)) for g in ("0.0", "2.0") for s in range(seeds) for k in range(5))


def test_joblib_runs_jobs_in_processes_of_their_own(reproduce: Any) -> None:
    assert reproduce("run", "toys/table-1", reproduce.journalled, "seeds=2", "hydra.launcher.n_jobs=2") == 0
    assert len(reproduce.records()) == 4
    processes = {line.split()[3] for line in reproduce.journal.read_text().splitlines()}
    assert len(processes) == 2
    assert "[4/4]" in reproduce.err
    assert {path.name for path in reproduce.folder.iterdir()} == {"runs", "journal.txt"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(reproduce: Any, launcher: str) -> None:
    words = ("toys/table-1", reproduce.journalled, "seeds=1", f"hydra/launcher={launcher}", *SLOW)
    process = reproduce.start("run", *words)
    wait_until(lambda: len(reproduce.steps) >= 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on" in err
    assert "Traceback" not in err
    assert out == ""
    assert reproduce("run", *words) == 0
    assert len(reproduce.records()) == 2
    # no step that had been saved was done again: at most the one it was at
    for run in ("0.0/0", "2.0/0"):
        steps = [step for name, step in reproduce.steps if name == run]
        assert steps == sorted(steps)
        assert len(steps) <= 6


@pytest.mark.slow
def test_a_killed_run_goes_on(reproduce: Any) -> None:
    words = ("toys/table-1", reproduce.journalled, "seeds=1", "hydra/launcher=basic", *SLOW)
    process = reproduce.start("run", *words)
    wait_until(lambda: len(reproduce.steps) >= 7)
    process.kill()
    process.communicate(timeout=60)
    assert len(reproduce.records()) == 1
    done = len(reproduce.steps)
    assert reproduce("run", *words) == 0
    assert len(reproduce.records()) == 2
    assert {name for name, _ in reproduce.steps[done:]} == {"2.0/0"}
    assert len(reproduce.steps) <= 11


@pytest.mark.slow
def test_two_at_once_share_the_work(reproduce: Any) -> None:
    words = ("toys/table-1", reproduce.journalled, "seeds=2", "hydra/launcher=basic", *SLOW)
    pair = [reproduce.start("run", *words) for _ in range(2)]
    for process in pair:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    # every step of every run once: nothing was done twice, nothing was lost
    assert runs_and_steps(reproduce) == all_steps(seeds=2)
    assert len(reproduce.records()) == 4


@pytest.mark.slow
def test_a_worker_that_dies_is_an_error_and_loses_nothing(reproduce: Any) -> None:
    words = ("toys/table-1", "seeds=1", "hydra.launcher.n_jobs=2")
    assert reproduce("run", *words, "rows=plain") == 0
    assert reproduce("run", *words, "experiment.fail=killed") == 1
    assert "the launcher stopped" in reproduce.err
    assert "Traceback" not in reproduce.err
    assert len(reproduce.records()) == 1
