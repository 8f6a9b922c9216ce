"""Runs that differ in their objective alone stand together, and no others."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace

import pytest

from contrastbench.reproductions.ledger import Record, read_record
from contrastbench.reproductions.locate import published_dir
from contrastbench.reproductions.side_by_side import BASELINE, Harness, find_harnesses
from contrastbench.reproductions.side_by_side_page import PAGE, side_by_side_page
from contrastbench.reproductions.tables import all_tables

TABLE = published_dir() / "pixel-contrast" / "table-1" / "cpu" / "scenes"


@pytest.fixture
def baseline() -> Record:
    return read_record(next(iter(sorted(TABLE.glob("baseline-seed0-*.json")))))


def run(record: Record, seed: int, value: float, objective: dict | None, **config: object) -> Record:
    own = {**record.config, "objective": objective and {**objective, "seed": seed}, "seed": seed, **config}
    metrics = {"evaluation": record.metrics["evaluation"], "mIoU": value}
    return replace(record, seed=seed, config=own, metrics=metrics)


def harness(records: list[Record]) -> Harness:
    (found,) = find_harnesses(all_tables(), records)
    return found


def test_each_objective_is_paired_with_none_by_seed(baseline):
    records = [run(baseline, seed, 50 + seed, None) for seed in range(3)]
    records += [run(baseline, seed, 52 + seed + seed / 10, {"type": "a.Far", "dim": 8}) for seed in range(3)]
    records += [run(baseline, seed, 49 + seed, {"type": "a.Near", "dim": 8}) for seed in (0, 1)]
    found = harness(records)
    assert [e.objective for e in found.entrants] == ["Far", BASELINE, "Near"]
    far, none, near = found.entrants
    assert none.gain is None
    assert far.gain is not None
    assert near.gain is not None
    assert far.gain.difference == pytest.approx(2.1)
    assert (far.gain.pairs, far.gain.outcome) == (3, "reproduced")
    assert (near.gain.difference, near.gain.pairs) == (-1, 2)
    assert found.gains(far) == pytest.approx({0: 2.0, 1: 2.1, 2: 2.2})


def test_objectives_of_a_class_are_named_by_what_they_differ_in(baseline):
    options = [{"type": "a.Loss", "dim": 8, "k": k, "how": how} for k, how in ((1, "x"), (2, "x"), (2, "y"))]
    found = harness([run(baseline, 0, i, o) for i, o in enumerate([*options, {"type": "b.Other", "k": 9}, None])])
    assert {e.objective for e in found.entrants} == {
        "Loss: how x, k 1", "Loss: how x, k 2", "Loss: how y, k 2", "Other", BASELINE,
    }  # fmt: skip


@pytest.mark.parametrize("other", ["network", "schedule"])
def test_another_network_or_schedule_is_another_harness(baseline, other):
    changed = {other: {**baseline.config[other], "name": "another"}}
    objectives = [None, {"type": "a.Loss", "k": 1}, {"type": "a.Loss", "k": 2}]
    here = [run(baseline, 0, i, o) for i, o in enumerate(objectives)]
    there = [run(baseline, 0, i, o, **changed) for i, o in enumerate(objectives)]
    assert len(find_harnesses(all_tables(), [*here, *there])) == 2
    assert find_harnesses(all_tables(), [*here[:2], there[2]]) == []


def test_other_data_and_another_evaluation_are_another_harness(baseline):
    records = [run(baseline, 0, i, o) for i, o in enumerate([None, {"type": "a.Loss"}, {"type": "a.Other"}])]
    assert find_harnesses(all_tables(), [*records[:2], replace(records[2], fingerprint="other")]) == []
    scaled = replace(records[2], metrics={"evaluation": "mIoU, six scales", "mIoU": 3.0})
    assert find_harnesses(all_tables(), [*records[:2], scaled]) == []


def test_what_a_run_measured_beside_its_metric_makes_no_difference(baseline):
    records = [run(baseline, 0, i, o) for i, o in enumerate([None, {"type": "a.Loss"}])]
    more = run(baseline, 0, 3, {"type": "a.Other"}, evaluation={"metrics": ["another"]})
    assert len(harness([*records, more]).entrants) == 3


def test_the_published_harnesses_hold_the_numbers_of_the_files():
    records = [read_record(path) for path in sorted(TABLE.glob("*.json"))]
    page = side_by_side_page(find_harnesses(all_tables(), records))[PAGE]
    for row in ("baseline", "intra", "inter"):
        values = [json.loads(path.read_text())["metrics"]["mIoU"] for path in sorted(TABLE.glob(f"{row}-*.json"))]
        assert f"| {statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} |" in page
        assert f"[pixel-contrast/table-1](pixel-contrast/table-1.md) {row} |" in page


@pytest.mark.parametrize("form", ["text", "markdown", "csv"])
def test_the_command_prints_what_there_is(reproduce, form, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # so that nothing is broken between lines
    assert reproduce("side-by-side", str(published_dir()), format=form) == 0
    assert reproduce.out.count("resnet18_slim on scenes, profile cpu") >= 1
    assert "contextrast/table-6" in reproduce.out


def test_the_command_says_where_nothing_stands_together(reproduce, tmp_path):
    assert reproduce("side-by-side", str(tmp_path), format="text") == 2
    assert "holds no records" in reproduce.err
    assert reproduce("run", "toys/table-1", "seeds=1") == 0
    assert reproduce("side-by-side", "runs/records", format="text") == 2
    assert "no harness has a run without an objective" in reproduce.err


def test_the_order_is_that_of_the_gains_not_of_means_over_other_seeds(baseline):
    records = [run(baseline, seed, value, None) for seed, value in enumerate((60, 40, 40))]
    records += [run(baseline, seed, value + 1, {"type": "a.Better"}) for seed, value in enumerate((60, 40, 40))]
    records += [run(baseline, 0, 59, {"type": "a.Worse"})]
    assert [e.objective for e in harness(records).entrants] == ["Better", BASELINE, "Worse"]
