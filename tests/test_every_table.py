"""A row of every table that can be run trains in smoke."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install './shared[mmseg]'")

from contrastbench.reproductions.cli import main
from contrastbench.reproductions.tables import all_tables

TABLES = [table for table in all_tables() if table.runnable]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_row_of_every_table_trains_in_smoke(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    row = table.runnable[-1]
    words = ["profile=smoke", f"rows=[{row.id}]", f"runs={tmp_path / 'runs'}"]
    assert main(["run", table.name, *words, "--format=json"]) == 0, capsys.readouterr().err
    (found,) = (entry for entry in json.loads(capsys.readouterr().out)["rows"] if entry["id"] == row.id)
    assert found["reproduced"]
