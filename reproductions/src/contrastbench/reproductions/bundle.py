"""One archive of all there is of a table, to attach to a report: records, the table, the environment, the logs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from contrastbench.core.errors import InputError
from contrastbench.core.writing import whole
from contrastbench.reproductions.ledger import (
    PROGRESS,
    RUN,
    Record,
    parse_record,
    read_record,
    read_records,
)
from contrastbench.reproductions.overview import Origin
from contrastbench.reproductions.provenance import environment
from contrastbench.reproductions.tables import Table

RECORDS = "records/"
_LOGS = (RUN, PROGRESS, "log.txt", "error.txt")


def write_bundle(table: Table, path: Path, found: Sequence[Origin], runs: Path) -> int:
    """Write the archive, a zip file.

    It holds ``table.json``, ``environment.json`` (versions, machine, revision), the records, each with its whole
    configuration, under ``records``, and under ``logs`` what each run of the table printed and how it failed.

    Args:
        table: the table.
        path: the file; it is written whole or not at all.
        found: folders of records; of a record that several hold, the first counts.
        runs: folder of runs.

    Returns:
        How many records it holds.

    Raises:
        InputError: there is neither a record nor a log of the table, or the file cannot be written.
    """
    records: dict[str, Record] = {}
    for origin in found:
        for record in read_records(origin.folder, table.paper, table.id):
            records.setdefault(record.place.as_posix(), record)
    logs = dict(_logs(table, records.values(), runs))
    if not records and not logs:
        raise InputError(f"there is no record and no log of {table.name}; run it first: reproduce run {table.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("table.json", _text(asdict(table)))
            archive.writestr("environment.json", _text(environment()))
            for place, record in sorted(records.items()):
                archive.writestr(RECORDS + place, _text(asdict(record)))
            for name, file in sorted(logs.items()):
                archive.write(file, f"logs/{name}")
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error}") from error
    return len(records)


def load_records(path: Path) -> list[Record]:
    """Return the records in a folder or in a bundle, oldest first. Nothing of an archive is unpacked.

    Raises:
        InputError: there is no such folder or bundle, or it holds no records.
    """
    if path.is_dir():
        records = [read_record(file) for file in sorted(path.glob("*/*/*/*/*.json"))]
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if n.startswith(RECORDS) and n.endswith(".json")]
                records = [parse_record(archive.read(n).decode("utf-8"), f"{path}: {n}") for n in sorted(names)]
        except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
            raise InputError(
                f"'{path}' is neither a folder of records nor a bundle ({error}); expected runs/records, "
                "reproductions/results, or a file that reproduce bundle wrote"
            ) from error
    if not records:
        raise InputError(f"'{path}' holds no records; expected PAPER/TABLE/PROFILE/DATA/*.json")
    return sorted(records, key=lambda record: record.started)


def _logs(table: Table, records: Iterable[Record], runs: Path) -> Iterator[tuple[str, Path]]:
    """Yield the logs of the table's runs by their name in the archive."""
    own = {record.run_id for record in records}
    for folder in sorted(path for path in runs.glob("work/*") if path.is_dir()):
        if folder.name in own or _is_of(table, folder):
            for name in _LOGS:
                if (folder / name).is_file():
                    yield f"{folder.name}/{name}", folder / name


def _is_of(table: Table, folder: Path) -> bool:
    try:
        said = json.loads((folder / RUN).read_text(encoding="utf-8"))
        return [said["paper"], said["table"]] == [table.paper, table.id]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _text(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=str) + "\n"
