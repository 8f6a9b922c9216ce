"""Runs handed to others: submitit's jobs, and several processes for one run."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contrastbench.core.errors import InputError
from contrastbench.reproductions.ranks import run_experiment

LOCAL = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5")


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


@pytest.mark.slow
def test_submitit_takes_the_jobs_by_configuration_alone(reproduce: Any) -> None:
    words = ("toys/table-1", reproduce.journalled, "seeds=1", *LOCAL)
    assert reproduce("run", *words) == 0, reproduce.err
    assert len(reproduce.records()) == 2
    # progress came from the files, as the jobs' output goes elsewhere
    assert "[2/2]" in reproduce.err
    assert "finished in" in reproduce.err
    assert {path.name for path in reproduce.folder.iterdir()} == {"runs", "journal.txt"}


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs_of_submitit(reproduce: Any) -> None:
    slow = ("experiment.pause=0.3", "experiment.steps=1000")
    process = reproduce.start("run", "toys/table-1", reproduce.journalled, "seeds=1", "rows=plain", *LOCAL, *slow)
    try:
        wait_until(lambda: len(reproduce.steps) >= 2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    # submitit's own local controller, interrupted too, tells of it in its way
    assert "goes on" in err
    time.sleep(2.5)
    stopped = reproduce.steps
    time.sleep(1)
    assert reproduce.steps == stopped


def test_without_slurm_its_launcher_says_so(reproduce: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert reproduce("run", "toys/table-1", "seeds=1", "hydra/launcher=submitit_slurm") == 1
    assert "srun" in reproduce.err
    assert "Traceback" not in reproduce.err
    assert reproduce.records() == []


@pytest.mark.parametrize("processes", ["0", "-1", "two", "1.5", "true"])
def test_a_number_of_processes_that_is_none_is_explained(reproduce: Any, processes: str) -> None:
    assert reproduce("run", "toys/table-1", "seeds=1", "hydra/launcher=basic", f"processes={processes}") == 2
    assert "expected a number of processes from 1" in reproduce.err


def test_the_number_of_processes_names_a_run(reproduce: Any) -> None:
    def ids(*overrides: str) -> list[str]:
        assert reproduce("plan", "toys/table-1", "seeds=1", *overrides) == 0
        return [run["id"] for run in reproduce.data["runs"]]

    assert ids("processes=1") == ids()
    assert not set(ids("processes=2")) & set(ids())


def ranked(**options: Any) -> dict[str, Any]:
    return {"_target_": "toys.Ranked", "_processes_": 2, **options}


@pytest.mark.slow
def test_ranks_are_joined_and_the_first_one_answers(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    metrics = run_experiment(ranked(), tmp_path, lambda *step: steps.append(step), tmp_path / "log.txt")
    assert metrics == {"sum": 3.0, "world": 2, "rank": 0}
    assert steps == [(1, 1)]
    assert "rank 0 was here" in (tmp_path / "log.txt").read_text()
    assert "rank 1 was here" in (tmp_path / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fail", "kind", "message"),
    [
        ("input", InputError, "rank 1 takes no such data"),
        ("bug", RuntimeError, "rank 1: ZeroDivisionError: a bug"),
        ("disk", OSError, "No space left"),
        ("killed", RuntimeError, "the process of rank 1 ended with exit code -9"),
    ],
)
def test_a_rank_that_fails_takes_the_others_down(
    tmp_path: Path, fail: str, kind: type[Exception], message: str
) -> None:
    # the other rank waits for it for ever
    with pytest.raises(kind, match=message):
        run_experiment(ranked(fail=fail), tmp_path, lambda *_: None, tmp_path / "log.txt")


@pytest.mark.slow
def test_a_run_of_a_host_trains_on_two_processes(reproduce: Any) -> None:
    words = ("pixel-contrast/table-1", "profile=smoke", "rows=[baseline]", "seeds=1", "processes=2")
    assert reproduce.published("run", *words, "schedule.batch_size=2") == 0, reproduce.err
    (path,) = reproduce.records()
    record = json.loads(path.read_text())
    assert record["config"]["_processes_"] == 2
    assert "processes=2" in record["overrides"]
    assert record["metrics"]["iterations"] > 0
