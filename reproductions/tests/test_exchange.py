"""What leaves the machine: bundles, comparisons, comma-separated values."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

WORDS = ("toys/table-1", "hydra/launcher=basic", "seeds=2")


def test_a_bundle_has_records_configuration_environment_and_logs(reproduce: Any) -> None:
    reproduce("run", *WORDS)
    assert reproduce("bundle", "toys/table-1", "out/report.zip") == 0
    assert reproduce.data == {"file": "out/report.zip", "records": 4}
    with zipfile.ZipFile("out/report.zip") as archive:
        names = archive.namelist()
        records = [name for name in names if name.startswith("records/")]
        assert sorted(Path(name).relative_to("records") for name in records) == [
            path.relative_to(reproduce.folder / "runs" / "records") for path in reproduce.records()
        ]
        assert json.loads(archive.read(records[0]))["config"]["_target_"] == "toys.Toy"
        assert "versions" in json.loads(archive.read("environment.json"))
        assert json.loads(archive.read("table.json"))["id"] == "table-1"
        (log, *_) = [name for name in names if name.endswith("log.txt")]
        assert b"this goes to the log" in archive.read(log)


def test_a_bundle_of_a_failed_run_has_its_error(reproduce: Any) -> None:
    assert reproduce("run", *WORDS, "rows=[plain]", "experiment.fail=bug") == 1
    assert reproduce("bundle", "toys/table-1") == 0
    assert reproduce.data == {"file": "toys-table-1.zip", "records": 0}
    with zipfile.ZipFile("toys-table-1.zip") as archive:
        assert any(name.endswith("error.txt") for name in archive.namelist())


def test_there_is_no_bundle_of_nothing(reproduce: Any) -> None:
    assert reproduce("bundle", "toys/table-1") == 2
    assert "reproduce run toys/table-1" in reproduce.err
    assert not Path("toys-table-1.zip").exists()


def test_a_bundle_compares_with_the_records_it_was_made_of(reproduce: Any) -> None:
    reproduce("run", *WORDS)
    reproduce("bundle", "toys/table-1", "a.zip")
    assert reproduce("compare", "a.zip", "runs/records") == 0
    assert [(one["row"], one["identical"], one["shared_seeds"]) for one in reproduce.data] == [
        ("plain", True, 2),
        ("better", True, 2),
    ]


def test_a_comparison_pairs_seeds_and_tells_the_difference(reproduce: Any) -> None:
    reproduce("run", *WORDS)
    other = Path("other")
    for path in reproduce.records():
        record = json.loads(path.read_text())
        record["metrics"]["score"] += 0.5 + 0.1 * record["seed"]
        place = other / path.relative_to(reproduce.folder / "runs" / "records")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(record))
    assert reproduce("compare", "runs/records", "other") == 0
    for one in reproduce.data:
        assert one["difference"] == pytest.approx(0.55)
        assert not one["identical"]
        low, high = one["interval"]
        assert low < 0.55 < high
    assert reproduce("compare", "runs/records", "other", format="text") == 0
    assert "+0.550" in reproduce.out
    assert reproduce("compare", "runs/records", "other", format="csv") == 0
    assert len(list(csv.reader(io.StringIO(reproduce.out)))) == 3


@pytest.mark.parametrize("what", ["nowhere", "text.txt"])
def test_what_is_no_set_of_results_is_one_clear_error(reproduce: Any, what: str) -> None:
    Path("text.txt").write_text("hello")
    assert reproduce("compare", what, what) == 2
    assert "neither a folder of records nor a bundle" in reproduce.err


def test_a_report_as_comma_separated_values_has_a_line_a_number(reproduce: Any) -> None:
    reproduce("run", *WORDS)
    assert reproduce("report", "toys/table-1", "--records", "runs/records", format="csv") == 0
    lines = {line["row"]: line for line in csv.DictReader(io.StringIO(reproduce.out))}
    assert float(lines["better"]["mean"]) == pytest.approx(52.1)
    assert lines["better"]["seeds"] == "2"
    assert lines["old"]["reported"] == "40.0"
    assert lines["old"]["mean"] == ""
