"""Figures of the papers, made from networks that the command trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contrastbench.reproductions import cli
from contrastbench.reproductions.tables import find_table
from contrastbench.reproductions.trained import FIGURES

pytestmark = pytest.mark.usefixtures("_cache")


@pytest.fixture
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_drawn_from_networks_that_are_trained_once(figure: str, capsys: Any) -> None:
    image = "--image=2" if figure == "dcl/features" else "--image=1"
    words = [figure, "out/figure.png", "profile=smoke", image, "--format=json"]
    assert cli.main(["picture", *words]) == 0
    assert json.loads(capsys.readouterr().out) == {"figure": figure, "file": "out/figure.png"}
    first = Path("out/figure.png").read_bytes()
    told = json.loads(Path("out/figure.json").read_text())
    assert told["figure"] == figure
    assert len(told["runs"]) == len(FIGURES[figure].rows)
    assert told["numbers"]
    name = "embedding.pth" if figure.startswith("longtail") else "weights.pth"
    weights = {path: path.stat().st_mtime_ns for path in Path("runs/pictures").rglob(name)}
    assert len(weights) == len(FIGURES[figure].rows)

    assert cli.main(["picture", *words]) == 0
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert Path("out/figure.png").read_bytes() == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dcl/feature", "x.png"], "did you mean 'dcl/features'"),
        (["dcl/features", "x.png", "profile=smok"], "did you mean 'smoke'"),
    ],
)
def test_bad_input_is_one_clear_error(words: list[str], message: str, capsys: Any) -> None:
    assert cli.main(["picture", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("figure", FIGURES.values())
def test_a_figure_names_rows_that_can_be_run(figure: Any) -> None:
    runnable = {row.id for row in find_table(figure.table).runnable}
    assert set(figure.rows) <= runnable


@pytest.mark.slow
def test_predictions_of_a_row_are_written_as_label_maps(capsys: Any) -> None:
    words = ["contextrast/table-3", "hrnet", "out", "profile=smoke", "--split=val", "--format=json"]
    assert cli.main(["predict", *words]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": "out", "images": 2}
    assert len(list(Path("out").glob("*_pred.png"))) == 2

    assert cli.main(["predict", "dcl/table-8", "dcl", "other", "profile=smoke"]) == 2
    assert "does not predict label maps" in capsys.readouterr().err
