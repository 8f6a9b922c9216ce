import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from contrastbench.core.errors import InputError
from contrastbench.reproductions.ledger import (
    SCHEMA,
    Ledger,
    Record,
    read_record,
    read_records,
    write_atomically,
)

RECORD = Record(
    schema=SCHEMA,
    paper="toys",
    table="table-1",
    row="plain",
    seed=0,
    profile="cpu",
    data="scenes",
    fidelity="paper",
    overrides=("a=1",),
    run_id="0123456789abcdef",
    config={"seed": 0, "nested": {"values": [1, 2.5, None]}},
    fingerprint=None,
    source="0" * 64,
    git={"revision": None, "dirty": None},
    versions={"numpy": "2"},
    machine={"device": "cpu"},
    started="2026-01-01T00:00:00+00:00",
    wall_seconds=1.5,
    peak_memory_bytes=None,
    metrics={"score": 1.0, "per_class": {"a": None}},
)


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, tmp_path)
    path = ledger.write(RECORD)
    assert path.parent == tmp_path / "toys/table-1/cpu/scenes"
    assert read_record(path) == RECORD
    # the same run under another study is a record beside it
    plain = replace(RECORD, overrides=())
    assert ledger.write(plain).name == "plain-seed0-01234567.json"
    assert ledger.write(replace(plain, fidelity="released")).name.startswith("plain-seed0-01234567-")
    assert read_record(path) == RECORD
    assert len(read_records(tmp_path, "toys", "table-1")) == 3


def test_records_are_read_oldest_first_and_by_table(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, tmp_path)
    ledger.write(replace(RECORD, seed=1, started="2026-01-02T00:00:00+00:00"))
    ledger.write(replace(RECORD, seed=2))
    ledger.write(replace(RECORD, table="table-2"))
    assert [record.seed for record in read_records(tmp_path, "toys", "table-1")] == [2, 1]
    assert read_records(tmp_path, "toys", "table-3") == []


def test_a_number_that_is_none_is_not_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "records", tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        ledger.write(replace(RECORD, metrics={"score": float("nan")}))
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 99}', json.dumps({"schema": SCHEMA})])
def test_what_is_no_record_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "toys/table-1/cpu/scenes/plain-seed0-01234567.json"
    write_atomically(path, text)
    with pytest.raises(InputError, match=r"plain-seed0-01234567\.json: not a record"):
        read_records(tmp_path, "toys", "table-1")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old", durable=True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new", durable=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_is_as_readable_as_any_file(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    write_atomically(tmp_path / "file", "text")
    assert (tmp_path / "file").stat().st_mode == other.stat().st_mode
