"""Every row of every table that can be run trains in smoke. Rows that are the same run train once."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install './shared[mmseg]'")

from contrastbench.reproductions.cli import main
from contrastbench.reproductions.tables import all_tables

TABLES = [table for table in all_tables() if table.runnable]


@pytest.fixture
def folder(tmp_path_factory):
    """One for all tests and all workers, so that they share what is done."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen") else base) / "smoke"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_row_of_a_table_trains_in_smoke(table, folder, monkeypatch, capsys):
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(folder / "cache"))
    assert main(["run", "--format=json", table.name, "profile=smoke", f"runs={folder / 'runs'}"]) == 0, (
        capsys.readouterr().err
    )
    rows = json.loads(capsys.readouterr().out)["rows"]
    reproduced = {row["id"] for row in rows if row["reproduced"]}
    assert reproduced == {row.id for row in table.runnable}
