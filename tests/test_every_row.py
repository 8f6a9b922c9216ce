"""Every row that can be run: it composes in every profile, and one of each table trains in smoke."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install './shared[mmseg]'")

from contrastbench.reproductions.cli import main
from contrastbench.reproductions.compose import compose, container, hydra_session
from contrastbench.reproductions.experiment import build
from contrastbench.reproductions.tables import all_tables

TABLES = [table for table in all_tables() if table.runnable]
PROFILES = ("smoke", "cpu", "gpu", "paper")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_row_composes_in_every_profile(table):
    with hydra_session():
        for profile in PROFILES:
            shared = [o for o in (*table.run, *table.profiles.get(profile, ())) if not o.startswith("objective.")]
            for row in table.runnable:
                root = ["data.root=somewhere"] if profile in ("gpu", "paper") else []
                config = compose([f"profile={profile}", "device=cpu", *shared, *row.run, *root])
                experiment = container(config, "experiment")
                if experiment["_target_"].split(".")[3] != "detectron2":
                    build(experiment)


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
