"""The command ``mask-errors``."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from coco_cases import HEIGHT, WIDTH, found, rectangle, truth
from PIL import Image

from contrastbench.dcl.errors.cli import main

SQUARE, LEFT_HALF = rectangle(10, 10, 20, 20), rectangle(10, 10, 20, 10)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    ground_truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    ground_truth.write_text(json.dumps(truth((1, SQUARE))))
    results.write_text(json.dumps(found((1, LEFT_HALF))))
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(tmp_path / "1.png")
    return str(ground_truth), str(results)


def test_json_has_the_gains_by_kind(files, capsys) -> None:
    assert main([*files, "--format", "json"]) == 0
    output = capsys.readouterr()
    data = json.loads(output.out)
    assert data["ap"] == pytest.approx(10)
    assert data["delta_ap"] == pytest.approx({"ffp": 0, "bfp": 0, "fn": 90})
    assert set(data["per_class"]) == {"car", "person"}
    assert data["per_class"]["car"]["delta_ap"]["fn"] == pytest.approx(90)
    assert data["per_class"]["person"] == {"ap": None, "delta_ap": {"ffp": None, "bfp": None, "fn": None}}
    assert (data["predictions"], data["matched"], data["unmatched"], data["beyond_limit"]) == (1, 1, 0, 0)
    assert data["pixels"] == {"ffp": 0, "bfp": 0, "fn": 200}
    assert output.err == ""


def test_text_is_a_table(files, capsys) -> None:
    assert main([*files]) == 0
    output = capsys.readouterr().out
    row = next(line for line in output.splitlines() if "all" in line)
    assert [cell.strip() for cell in row.strip("│┃").split("│")] == ["all", "10.00", "+0.00", "+0.00", "+90.00"]
    assert next(line for line in output.splitlines() if "person" in line).count("n/a") == 4
    assert "1 predictions, 1 matched, 0 not" in output


def test_pictures(files, tmp_path: Path, capsys) -> None:
    figure, examples = tmp_path / "pictures" / "errors.svg", tmp_path / "examples"
    options = ["--figure", str(figure), "--examples", str(examples), "--images", str(tmp_path), "--count", "2"]
    assert main([*files, *options]) == 0
    assert figure.read_text().startswith("<?xml")
    assert [p.name for p in examples.iterdir()] == ["fn-1.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--examples", "shown"], "give their folder with --images"),
        (["--images", "."], "say with --examples where to draw"),
        (["--examples", "shown", "--images", "nowhere"], "there is no folder 'nowhere'"),
        (["--figure", "errors.table"], "its suffix names no picture format"),
        (["--figure", "truth.json/errors.png"], "cannot write to the folder 'truth.json'"),
    ],
)
def test_bad_options_are_said_before_any_work(files, options, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main([*files, *options]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert message in output.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"images": []}', None])
@pytest.mark.parametrize("which", [0, 1])
def test_bad_files_are_said_in_one_message(files, which: int, content: str | None, tmp_path: Path, capsys) -> None:
    path = Path(files[which])
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert main([*files, "--figure", str(tmp_path / "errors.png")]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err[:7]) == ("", "error: ")
    assert path.name in output.err
    assert not (tmp_path / "errors.png").exists()


def test_a_count_must_be_positive(files, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*files, "--count", "0"])
    assert ended.value.code == 2
    assert "0 is less than 1" in capsys.readouterr().err


def test_the_command_runs_by_itself(files) -> None:
    command = [sys.executable, "-m", "contrastbench.dcl.errors.cli", *files, "--format", "json", "--workers", "2"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["delta_ap"]["fn"] == pytest.approx(90)
    assert run.stderr == ""
