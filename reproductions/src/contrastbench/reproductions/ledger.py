"""The record: one JSON file a row and seed, written whole or not at all, and never computed twice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from contrastbench.core.data.cache import require_writable
from contrastbench.core.errors import InputError
from contrastbench.core.writing import is_disk_full
from contrastbench.reproductions.plan import Run, Study

SCHEMA = 1

PROGRESS = "progress.json"
"""File in a run's folder that says how far it is, and how it ended."""

RUN = "run.json"
"""File in a run's folder that says which row and seed it is of, with its configuration."""

STATE = "state"
"""Folder in a run's folder that the experiment keeps its state in."""


@dataclass(frozen=True)
class Record:
    """What one run measured, and where the numbers come from.

    ``config`` is the experiment's configuration without what does not determine the result, folders among it.
    ``shared_with`` names the row (with its table, profile and data) whose run this is, where the same run
    answers several, or one under several studies.
    """

    schema: int
    paper: str
    table: str
    row: str
    seed: int
    profile: str
    data: str
    fidelity: str
    overrides: tuple[str, ...]
    run_id: str
    config: dict[str, Any]
    fingerprint: str | None
    source: str
    git: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    started: str
    wall_seconds: float
    peak_memory_bytes: int | None
    metrics: dict[str, Any]
    shared_with: str | None = None

    @property
    def study(self) -> Study:
        """Under what conditions it ran."""
        return Study(self.profile, self.data, self.fidelity, self.overrides)

    @property
    def place(self) -> Path:
        """Where the record lies in a folder of records."""
        return _place(self.paper, self.table, self.row, self.seed, self.study, self.run_id)


class Ledger:
    """A folder of records, and the working folders of the runs on their way to it.

    What a run leaves is pruned by this rule. Until its record is written, its state stays whatever happens to it, and
    in it the last checkpoint alone: each takes the place of the one before. Once the record is written, the state goes,
    unless weights are to be kept; killed in between, the next ``run`` removes it. What runs that nobody asks for any
    more have left is removed by ``reproduce clean`` alone. Records are never removed.

    Args:
        records: folder of records.
        runs: folder of runs; each works in ``work/<run id>`` of it.
    """

    def __init__(self, records: Path, runs: Path) -> None:
        self.records = records
        self.runs = runs

    def check_writable(self) -> None:
        """Raise InputError unless both folders can be written to; they are made where absent."""
        for folder in (self.runs, self.records):
            require_writable(folder, "name another with runs=FOLDER (and records=FOLDER)")

    def work_dir(self, run: Run) -> Path:
        """Return the folder a run works in."""
        return self.runs / "work" / run.id

    def state_dir(self, run: Run) -> Path:
        """Return the folder an experiment keeps its state in."""
        return self.work_dir(run) / STATE

    def prune(self, run: Run) -> None:
        """Remove the state of a run whose record is written; only who holds the run may."""
        shutil.rmtree(self.state_dir(run), ignore_errors=True)
        for leftover in self.work_dir(run).glob(f".{PROGRESS}.*"):
            leftover.unlink(missing_ok=True)

    def prune_leftover(self, run: Run) -> None:
        """Remove the state of a recorded run that was killed before it could do so itself."""
        kept = read_progress(self.work_dir(run)).get("state") == "finished"
        if not kept and self.state_dir(run).exists() and self.finished(run) is not None:
            with self.lock(run, wait=False) as held:
                if held:
                    self.prune(run)

    def own(self, run: Run) -> Record | None:
        """Return the record of a run under its own row and study, if it is finished."""
        path = self.records / _place(run.paper, run.table, run.row, run.seed, run.study, run.id)
        record = read_record(path) if path.exists() else None
        return record if record is not None and (record.run_id, record.study) == (run.id, run.study) else None

    def finished(self, run: Run) -> Record | None:
        """Return the record of a run, under its own row and study or, as the same run, under others."""
        own = self.own(run)
        if own is not None:
            return own
        for path in sorted(self.records.glob(f"*/*/*/*/*-{run.id[:8]}*.json")):
            record = read_record(path)
            if record.run_id == run.id:
                return record
        return None

    def adopt(self, run: Run) -> Record | None:
        """Return the record of a run under its own row and study, made from that of another with the same run.

        So a row that a study's overrides do not reach stands in that study too. None where the run is not finished
        under any.
        """
        own = self.own(run)
        if own is not None:
            return own
        record = self.finished(run)
        if record is None:
            return None
        told = f"{record.paper}/{record.table} {record.row} ({record.profile}, {record.data})"
        mine = replace(
            record,
            paper=run.paper,
            table=run.table,
            row=run.row,
            overrides=run.study.overrides,
            profile=run.study.profile,
            data=run.study.data,
            fidelity=run.study.fidelity,
            shared_with=record.shared_with or told,
        )
        self.write(mine)
        return mine

    def write(self, record: Record) -> Path:
        """Write a record atomically and durably.

        Raises:
            ValueError: if a number in it is not finite.
            InputError: if the disk is full.
        """
        path = self.records / record.place
        text = json.dumps(asdict(record), indent=1, sort_keys=True, allow_nan=False)
        try:
            write_atomically(path, text + "\n", durable=True)
        except OSError as error:
            if is_disk_full(error):
                raise InputError(disk_full(self.records, error)) from error
            raise
        return path

    @contextmanager
    def lock(self, run: Run, *, wait: bool) -> Iterator[bool]:
        """Hold a run, so that nobody else works on it; yields whether it was got.

        The lock goes with the process that holds it, however that ends.

        Args:
            run: the run.
            wait: whether to wait for whoever holds it.
        """
        folder = self.work_dir(run)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", timeout=-1 if wait else 0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def disk_full(folder: Path, error: OSError) -> str:
    """Return what to tell a user whose disk is full."""
    return (
        f"cannot write to '{folder}' ({error.strerror}); free some space (reproduce clean names what abandoned runs "
        "have left), or name another folder with runs=FOLDER (and records=FOLDER). What is finished is kept; the same "
        "command goes on from the last checkpoint"
    )


def read_progress(folder: Path) -> dict[str, Any]:
    """Return what a run's folder says of its progress; nothing where it does not."""
    try:
        content = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _place(paper: str, table: str, row: str, seed: int, study: Study, run_id: str) -> Path:
    name = f"{row}-seed{seed}-{run_id[:8]}"
    if study.fidelity != "paper" or study.overrides:
        # the same run may answer its row under several studies
        name += f"-{hashlib.sha256(json.dumps([study.fidelity, *study.overrides]).encode()).hexdigest()[:8]}"
    return Path(paper, table, study.profile, study.data, f"{name}.json")


def read_record(path: Path) -> Record:
    """Read one record.

    Raises:
        InputError: if it is not one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a record: {error}") from error
    return parse_record(text, str(path))


def parse_record(text: str, where: str) -> Record:
    """Return the record that a text holds.

    Args:
        text: JSON.
        where: what to call it in errors.

    Raises:
        InputError: if it is not one.
    """
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise InputError(f"{where}: not a record of schema {SCHEMA}")
        content["overrides"] = tuple(content["overrides"])
        return Record(**content)
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: not a record: {error}") from error


def read_records(folder: Path, paper: str, table: str) -> list[Record]:
    """Return all records of a table in a folder of records, oldest first."""
    records = [read_record(path) for path in sorted(folder.glob(f"{paper}/{table}/*/*/*.json"))]
    return sorted(records, key=lambda record: record.started)


def write_atomically(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a file so that whoever reads it finds the old content or the new, nothing between.

    Args:
        path: the file; its folder is made.
        text: the content.
        durable: whether to have it on the disk before returning.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        # mkstemp keeps the file to its owner; a record is as readable as any other file
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
