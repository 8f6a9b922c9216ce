"""What the commands print."""

import json
from typing import Any

import pytest

from contrastbench.reproductions import cli


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert cli.main(arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_list_counts_what_each_table_holds(capsys: pytest.CaptureFixture[str]) -> None:
    tables = {(t["paper"], t["table"]): t for t in call(capsys, "list", "--format", "json")}
    first = tables["pixel-contrast", "table-1"]
    assert set(first) == {"paper", "table", "title", "rows", "runnable", "cited", "claims", "records"}
    assert (first["rows"], first["runnable"], first["cited"], first["claims"]) == (3, 3, 0, 3)
    assert isinstance(first["records"], int)
    fifth = tables["pixel-contrast", "table-5"]
    assert (fifth["rows"], fifth["runnable"], fifth["cited"], fifth["claims"]) == (23, 0, 17, 3)


def test_show_has_the_reported_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    table = call(capsys, "show", "pixel-contrast/table-4", "--format", "json")
    rows = {row["id"]: row for row in table["rows"]}
    assert rows["hrnetv2-ours"]["reported"] == {"mIoU": 82.2, "seconds_per_iteration": 1.87}
    assert rows["hrnetv2-ours"]["gains"] == [{"over": "hrnetv2", "metric": "mIoU", "value": 1.1}]
    assert rows["segsort"]["cited"] is True
    assert rows["segsort"]["reference"] == "[34]"
    assert table["source"]["page"] == 7


def test_show_has_what_was_reproduced_and_the_verdicts(reproduce: Any) -> None:
    reproduce("run", "toys/table-1", "hydra/launcher=basic", "seeds=3")
    assert reproduce("show", "toys/table-1") == 0
    rows = {row["id"]: row for row in reproduce.data["rows"]}
    (found,) = rows["better"]["reproduced"]
    assert (found["profile"], found["data"], found["records"]) == ("cpu", "scenes", "local")
    score = found["metrics"]["score"]
    assert (score["n"], score["seeds"]) == (3, [0, 1, 2])
    assert score["mean"] == pytest.approx(52.2)
    assert score["std"] == pytest.approx(0.2)
    (verdict,) = reproduce.data["claims"][0]["verdicts"]
    assert (verdict["profile"], verdict["outcome"], verdict["pairs"]) == ("cpu", "reproduced", 3)
    assert reproduce.data["records"] == 6
    assert reproduce("list") == 0
    assert [t["records"] for t in reproduce.data if t["records"]] == [6]


def test_plan_says_what_would_run_and_what_it_takes(reproduce: Any) -> None:
    words = ("toys/table-1", "hydra/launcher=basic")
    assert reproduce("plan", *words, "seeds=2") == 0
    assert reproduce.data["to_run"] == 4
    assert reproduce.data["total"]["seconds"] is None
    assert not (reproduce.folder / "runs").exists()
    reproduce("run", *words, "seeds=2")
    assert reproduce("plan", *words, "seeds=3") == 0
    states = [(r["row"], r["seed"], r["state"]) for r in reproduce.data["runs"]]
    assert states == [
        (row, seed, "to run" if seed == 2 else "done") for row in ("plain", "better") for seed in range(3)
    ]
    assert reproduce.data["to_run"] == 2
    assert reproduce.data["total"]["seconds"] is not None
    assert len({r["id"] for r in reproduce.data["runs"]}) == 6
    assert reproduce("plan", "toys/table-2", words[1], "seeds=2") == 0
    assert {r["state"] for r in reproduce.data["runs"]} == {"shared"}
    assert reproduce("plan", *words, "seeds=3", format="text") == 0
    assert "2 of 6 to run" in reproduce.out


def test_plan_tries_rows_to_say_what_they_cost(reproduce: Any) -> None:
    words = ("toys/table-1", "hydra/launcher=basic", "seeds=2", "rows=[plain]", "experiment.pause=0.2")
    words = (*words, "experiment.steps=1000")
    assert reproduce("plan", "--calibrate", *words) == 0
    for run in reproduce.data["runs"]:
        assert run["basis"] == "trial"
        # 1,000 steps of 0.2 s, of which the trial saw some
        assert 200 <= run["seconds"] < 300
        assert run["memory_bytes"] > 0
        assert run["disk_bytes"] > 0
    total = reproduce.data["total"]
    assert total["seconds"] == pytest.approx(sum(run["seconds"] for run in reproduce.data["runs"]))
    assert total["device_hours"] == pytest.approx(total["seconds"] / 3600, abs=0.01)
    assert not list((reproduce.folder / "runs").glob("records/**/*.json"))
    # the trial is remembered
    assert reproduce("plan", *words) == 0
    assert {run["basis"] for run in reproduce.data["runs"]} == {"trial"}


def test_plan_says_how_many_seeds_claims_need(reproduce: Any) -> None:
    words = ("toys/table-1", "hydra/launcher=basic", "seeds=2")
    reproduce("run", *words)
    assert reproduce("plan", *words) == 0
    (claim, *_) = reproduce.data["claims"]
    assert claim["seeds"] == 2
    assert claim["outcome"] in ("reproduced", "undecided")


def test_report_trains_nothing_and_agrees_with_the_run(reproduce: Any) -> None:
    reproduce("run", "toys/table-1", "hydra/launcher=basic", "seeds=2", reproduce.journalled)
    ran, steps = reproduce.data, reproduce.steps
    assert reproduce("report", "toys/table-1", "--records", "runs/records") == 0
    (told,) = reproduce.data
    assert told["rows"] == ran["rows"]
    assert told["claims"] == ran["claims"]
    assert reproduce.steps == steps


def test_report_as_markdown(reproduce: Any) -> None:
    reproduce("run", "toys/table-1", "hydra/launcher=basic", "seeds=2")
    words = ("toys/table-1", "--records", "runs/records")
    assert reproduce("report", *words, format="markdown") == 0
    lines = reproduce.out.splitlines()
    assert lines[0] == ("**toys/table-1: Counting with and without gain [profile cpu, data scenes, fidelity paper]**")
    assert "| Better | 52.0 (+2.0) | 52.10 ± 0.14 | 2 |" in lines
    assert "| Old [1] | 40.0 | - | cited |" in lines
    claim = "| Better over Plain | +2.0 | +2.00 (+2.00 to +2.00) | 2 | reproduced; the interval holds the"
    assert any(line.startswith(claim) for line in lines)


def test_report_of_no_records_says_so(reproduce: Any) -> None:
    assert reproduce("report", "toys/table-1", format="text") == 0
    assert "no records of toys/table-1" in reproduce.err
    assert reproduce("report", "--records", "absent") == 2
    assert "absent: no such folder of records" in reproduce.err


def test_env_describes_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "env", "--format", "json")
    assert found["versions"]["torch"]
    assert found["cores"] >= 1
    assert found["memory_bytes"] > 0
    assert set(found["git"]) == {"revision", "dirty"}


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "pixel-contrast/table-1"], ["show", "pixel-contrast/table-6"], ["env"]]
)
def test_text_output(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert cli.main(arguments) == 0
    expected = {"list": "table-7", "show": "HRNetV2-W48", "env": "versions.torch: "}
    assert expected[arguments[0]] in capsys.readouterr().out


def test_words_may_stand_before_and_after_an_option(reproduce: Any) -> None:
    words = ["toys/table-1", "--papers", reproduce.arguments("plan")[2], "seeds=2", "--format", "json"]
    assert cli.main(["plan", *words, reproduce.arguments("plan")[-1]]) == 0
    assert len(json.loads(reproduce._capsys.readouterr().out)["runs"]) == 4


@pytest.mark.parametrize(
    "arguments", [[], ["lst"], ["show"], ["run", "--seeds", "3"], ["list", "all"], ["docs", "x", "--papers", "y"]]
)
def test_a_wrong_command_line_exits_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: reproduce" in capsys.readouterr().err
