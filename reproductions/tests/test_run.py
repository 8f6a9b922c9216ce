import json
from pathlib import Path
from typing import Any

import pytest

ONE = ("hydra/launcher=basic", "seeds=2")


def test_it_trains_what_is_missing_and_judges_the_claims(reproduce: Any) -> None:
    assert reproduce("run", "toys/table-1", reproduce.journalled, *ONE) == 0
    rows = {row["id"]: row for row in reproduce.data["rows"]}
    assert rows["plain"]["reproduced"]["score"]["values"] == [50.0, 50.2]
    assert rows["better"]["reproduced"]["score"]["mean"] == pytest.approx(52.1)
    assert rows["old"]["reproduced"] == rows["unknown"]["reproduced"] == {}
    claim, not_run = reproduce.data["claims"]
    assert claim["verdict"]["outcome"] == "reproduced"
    assert claim["verdict"]["difference"] == pytest.approx(2)
    assert not_run["verdict"]["outcome"] == "not run"
    assert len(reproduce.records()) == 4
    assert len(reproduce.steps) == 4 * 3
    # nothing is left about but the folder of runs (and this test's journal)
    assert {path.name for path in reproduce.folder.iterdir()} == {"runs", "journal.txt"}


def test_the_text_has_reported_beside_reproduced(reproduce: Any) -> None:
    assert reproduce("run", "toys/table-1", *ONE, format="text") == 0
    lines = reproduce.out.splitlines()
    (better,) = [line for line in lines if line.strip().startswith("Better ") and "±" in line]
    assert better.split()[1:] == ["52.0", "(+2.0)", "52.10", "±", "0.14", "2"]
    assert "profile cpu" in reproduce.out
    assert "by counting" in reproduce.out
    assert "not comparable" in reproduce.out
    assert "better, seed 1: finished" in reproduce.err


def test_a_finished_run_is_never_run_twice(reproduce: Any) -> None:
    reproduce("run", "toys/table-1", reproduce.journalled, *ONE)
    first, content = reproduce.steps, [path.read_bytes() for path in reproduce.records()]
    assert reproduce("run", "toys/table-1", reproduce.journalled, *ONE) == 0
    assert reproduce.steps == first
    assert [path.read_bytes() for path in reproduce.records()] == content
    # one seed more runs that one alone
    assert reproduce("run", "toys/table-1", reproduce.journalled, ONE[0], "seeds=3") == 0
    assert {run for run, _ in reproduce.steps[len(first) :]} == {"0.0/2", "2.0/2"}


def test_a_run_that_answers_two_tables_is_run_once(reproduce: Any) -> None:
    reproduce("run", "toys/table-1", reproduce.journalled, *ONE)
    first = reproduce.steps
    assert reproduce("run", "toys/table-2", reproduce.journalled, *ONE) == 0
    assert reproduce.steps == first
    shared = [json.loads(path.read_text()) for path in reproduce.records() if "table-2" in str(path)]
    assert len(shared) == 4
    assert {(r["table"], r["shared_with"].split()[0]) for r in shared} == {("table-2", "toys/table-1")}
    assert reproduce("plan", "toys/table-2", reproduce.journalled, *ONE) == 0
    assert {run["state"] for run in reproduce.data["runs"]} == {"done"}


def test_a_run_that_answers_a_row_in_two_studies_is_run_once_and_stands_in_both(reproduce: Any) -> None:
    reproduce("run", "toys/table-1", reproduce.journalled, *ONE)
    first = reproduce.steps
    # nothing of a toy depends on the fidelity
    assert reproduce("run", "toys/table-1", reproduce.journalled, *ONE, "fidelity=released") == 0
    assert reproduce.steps == first
    assert reproduce("report", "toys/table-1", "--records", "runs/records") == 0
    assert [study["fidelity"] for study in reproduce.data] == ["paper", "released"]
    for study in reproduce.data:
        assert study["claims"][0]["verdict"]["pairs"] == 2
    assert reproduce("plan", "toys/table-1", reproduce.journalled, *ONE, "fidelity=released") == 0
    assert {run["state"] for run in reproduce.data["runs"]} == {"done"}


def test_what_determines_a_run_names_it_and_nothing_else(reproduce: Any) -> None:
    def ids(*overrides: str) -> list[str]:
        assert reproduce("plan", "toys/table-1", "seeds=[3]", *overrides) == 0
        return [run["id"] for run in reproduce.data["runs"]]

    plain, better = ids()
    assert plain != better
    assert ids("experiment.root=.", "hydra/launcher=basic", "runs=elsewhere", "keep_weights=true") == [
        plain,
        better,
    ]
    assert not set(ids("experiment.steps=4")) & {plain, better}
    assert not set(ids("threads=2")) & {plain, better}


def test_an_interrupted_run_goes_on(reproduce: Any) -> None:
    interrupt = "experiment.fail=interrupt"
    assert reproduce("run", "toys/table-1", reproduce.journalled, *ONE, "rows=plain", interrupt) == 130
    assert "goes on" in reproduce.err
    assert reproduce.steps == [("0.0/0", "0"), ("0.0/0", "1")]
    assert reproduce.records() == []
    # the same run, unbroken: its folder is that of another configuration, so carry the state over
    (broken,) = reproduce.folder.glob("runs/work/*/state/state.json")
    assert reproduce("plan", "toys/table-1", reproduce.journalled, *ONE, "rows=plain") == 0
    state = reproduce.folder / "runs" / "work" / reproduce.data["runs"][0]["id"] / "state" / "state.json"
    state.parent.mkdir(parents=True)
    broken.rename(state)
    assert reproduce("run", "toys/table-1", reproduce.journalled, *ONE, "rows=plain") == 0
    assert [step for run, step in reproduce.steps[2:] if run == "0.0/0"] == ["1", "2"]


@pytest.mark.parametrize(
    ("fail", "code", "message"),
    [
        ("bug", 1, "ZeroDivisionError: a bug"),
        ("score", 1, "score is nan"),
        ("input", 2, "image 7 does not decode"),
    ],
)
def test_a_failing_run_leaves_the_others_alone(reproduce: Any, fail: str, code: int, message: str) -> None:
    failing = (f"experiment.fail={fail}", "experiment.fail_at_seed=1")
    assert reproduce("run", "toys/table-1", *ONE, *failing) == code
    assert message in reproduce.err
    assert "Traceback" not in reproduce.err
    assert [path.name.split("-")[1] for path in reproduce.records()] == ["seed0", "seed0"]
    assert [f["row"] for f in reproduce.data["failures"]] == ["plain", "better"]
    if fail == "bug":
        (error, _) = reproduce.folder.glob("runs/work/*/error.txt")
        assert "ZeroDivisionError" in error.read_text()


def test_the_state_of_a_finished_run_is_removed_unless_it_is_to_be_kept(reproduce: Any) -> None:
    reproduce("run", "toys/table-1", *ONE, "rows=plain")
    assert list(reproduce.folder.glob("runs/work/*/state")) == []
    reproduce("run", "toys/table-1", *ONE, "rows=better", "keep_weights=true")
    assert len(list(reproduce.folder.glob("runs/work/*/state/state.json"))) == 2


def test_what_a_run_prints_and_logs_goes_to_its_own_log(reproduce: Any) -> None:
    # long enough for progress to be shown while a run holds the output
    slow = ("experiment.steps=4", "experiment.pause=0.3")
    assert reproduce("run", "toys/table-1", *ONE, "rows=plain", *slow) == 0
    told = [line.split(":")[0] for line in reproduce.err.splitlines()]
    assert told == ["[1/2] plain, seed 0", "[2/2] plain, seed 1"]
    logs = [path.read_text() for path in reproduce.folder.glob("runs/work/*/log.txt")]
    assert sorted(logs) == [f"this goes to the log\nseed {seed} was here\n" for seed in (0, 1)]


def test_a_record_says_where_its_number_comes_from(reproduce: Any) -> None:
    reproduce("run", "toys/table-1", *ONE, "rows=plain", "experiment.steps=2", "experiment.root=.")
    record = json.loads(reproduce.records()[0].read_text())
    assert record["config"]["steps"] == 2
    assert "root" not in record["config"]
    assert record["overrides"] == ["experiment.steps=2"]
    assert (record["row"], record["seed"], record["profile"], record["data"]) == ("plain", 0, "cpu", "scenes")
    assert record["metrics"] == {"score": 50.0, "evaluation": "by counting"}
    assert record["fingerprint"] == "toy data"
    assert record["versions"]["numpy"]
    assert len(record["source"]) == 64
    assert record["wall_seconds"] >= 0
    assert record["machine"]["threads"] == 1
    assert reproduce.records()[0].name.startswith(f"plain-seed0-{record['run_id'][:8]}-")


def test_records_of_different_conditions_are_not_mixed(reproduce: Any) -> None:
    reproduce("run", "toys/table-1", *ONE)
    reproduce("run", "toys/table-1", *ONE, "experiment.steps=2")
    reproduce("run", "toys/table-1", *ONE, "profile=smoke")
    assert reproduce("report", "toys/table-1", "--records", "runs/records") == 0
    studies = [(r["profile"], r["overrides"]) for r in reproduce.data]
    assert studies == [("cpu", []), ("cpu", ["experiment.steps=2"]), ("smoke", [])]
    assert reproduce("show", "toys/table-1") == 0
    plain = next(row for row in reproduce.data["rows"] if row["id"] == "plain")
    assert [r["profile"] for r in plain["reproduced"]] == ["cpu", "cpu", "smoke"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["toy/table-1"], "did you mean 'toys'?"),
        (["toys/table-9"], "did you mean 'table-"),
        (["toys"], "names a paper, not a table; its tables: table-1, table-2"),
        (["toys/table-1", "rows=[plain,beter]"], "did you mean 'better'?"),
        (["toys/table-1", "rows=old"], "is cited from [1]"),
        (["toys/table-1", "rows=unknown"], "cannot be run yet"),
        (["toys/table-1", "rows=[]"], "rows=[]"),
        (["toys/table-1", "seeds=0"], "seeds=0: expected"),
        (["toys/table-1", "seeds=-1"], "seeds=-1: expected"),
        (["toys/table-1", "seeds=[0,0]"], "different seeds"),
        (["toys/table-1", "seeds=few"], "seeds=few: expected"),
        (["toys/table-1", "seeds=true"], "seeds=True: expected"),
        (["toys/table-1", "seeds=1,2"], "write a list as key=[a,b]"),
        (["toys/table-1", "seed=1"], "seeds=3 or seeds=[0,4,5]"),
        (["toys/table-1", "sedes=2"], "did you mean 'seeds'"),
        (["toys/table-1", "experiment.stps=2"], "did you mean 'experiment.steps'"),
        (["toys/table-1", "experiment.step=2"], "did you mean 'experiment.steps'"),
        (["toys/table-1", "profile=smok"], "unknown profile 'smok'; did you mean 'smoke'?"),
        (["toys/table-1", "hydra/launcher=slurm"], "unknown hydra/launcher 'slurm'"),
        (["toys/table-1", "threads"], "malformed override 'threads'"),
        (["toys/table-1", "experiment.gain=[1"], "malformed override"),
        (["toys/table-1", "threads=1", "threads=2"], "given twice"),
        (["toys/table-1", "experiment.gain=3"], "rows of toys/table-1 differ in experiment.gain"),
        (["toys/table-1", "experiment=semantic"], "rows of toys/table-1 differ in experiment"),
        (["toys/table-1", "experiment.root=absent"], "absent: no such folder"),
        (["toys/table-1", "experiment.pause=nan"], "experiment.pause is nan; expected a finite number"),
        (["toys/table-1", "+experiment.wrong=1"], "does not accept its configuration"),
        (["toys/table-1", "experiment._target_=toys.Missing"], "cannot be imported"),
        (["toys/table-1", "runs=file/runs"], "cannot write to the folder"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_no_record(reproduce: Any, words: list[str], message: str) -> None:
    Path("file").touch()
    assert reproduce("run", *words) == 2
    assert message in reproduce.err
    assert reproduce.err.startswith("error: ")
    assert reproduce.err.count("\n") == 1
    assert reproduce.out == ""
    assert reproduce.records() == []


def test_what_all_rows_share_follows_the_profile_and_the_data(reproduce: Any) -> None:
    reproduce("run", "toys/table-3", "hydra/launcher=basic", "seeds=1", reproduce.journalled)
    assert [step for _, step in reproduce.steps] == ["0", "1", "0", "1"]
    reproduce("run", "toys/table-3", "hydra/launcher=basic", "seeds=1", "profile=smoke", reproduce.journalled)
    assert [step for _, step in reproduce.steps[4:]] == ["0", "0"]
    # the user's own word counts more than the table's
    reproduce("run", "toys/table-3", "hydra/launcher=basic", "seeds=1", "experiment.steps=3", reproduce.journalled)
    assert [step for _, step in reproduce.steps[6:]] == ["0", "1", "2", "0", "1", "2"]
    reproduce(
        "run", "toys/table-3", "hydra/launcher=basic", "seeds=1", "data=camvid", "data.root=x", reproduce.journalled
    )
    assert {run for run, _ in reproduce.steps[12:]} == {"10.0/0"}


def test_a_column_takes_numbers_of_its_own_data_in_its_own_unit(reproduce: Any) -> None:
    reproduce("run", "toys/table-3", "hydra/launcher=basic", "seeds=1")
    rows = {row["id"]: row for row in reproduce.data["rows"]}
    assert rows["plain"]["reproduced"]["here"]["mean"] == pytest.approx(0.5)
    assert "there" not in rows["plain"]["reproduced"]


def test_what_all_rows_share_cannot_be_overridden(reproduce: Any) -> None:
    assert reproduce("run", "toys/table-3", "experiment=semantic") == 2
    assert "every row of toys/table-3 is run with experiment=toy" in reproduce.err


def test_several_gains_and_a_figure_are_shown_as_printed(reproduce: Any) -> None:
    reproduce("show", "toys/table-3", format="text")
    assert "0.48 (-0.02)" in reproduce.out
    assert "figure 3" in reproduce.out


def test_a_value_that_does_not_fit_its_key_is_one_clear_error(reproduce: Any) -> None:
    assert reproduce.published("plan", "pixel-contrast/table-1", "schedule.optimizer={betas:1}") == 2
    assert "does not take that value" in reproduce.err
