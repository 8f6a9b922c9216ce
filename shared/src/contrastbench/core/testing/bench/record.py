"""The file of a machine's measurements, by benchmark; written whole after each, so that what is done stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrastbench.core.errors import InputError
from contrastbench.core.writing import whole


class RecordFile:
    """Measurements of one machine in one file: its ``machine``, and ``benchmarks`` by name.

    Args:
        path: the file. What it holds of other benchmarks stays.
        machine: what the measurements are made on, and how.

    Raises:
        InputError: the file is of something else, or of another machine.
    """

    def __init__(self, path: Path, machine: Mapping[str, Any]) -> None:
        self.path, self.machine = path, dict(machine)
        held = self._read()
        if held is not None and held["machine"] != self.machine:
            keys = sorted({*held["machine"], *self.machine})
            other = [key for key in keys if held["machine"].get(key) != self.machine.get(key)]
            raise InputError(
                f"{path} holds measurements of another machine or setting ({', '.join(other)} differ); "
                "give another file, or remove it"
            )

    def add(self, name: str, record: Mapping[str, Any]) -> None:
        """Write a benchmark's measurements, in place of what was there under its name."""
        held = self._read() or {"machine": self.machine, "benchmarks": {}}
        held["benchmarks"][name] = dict(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole(self.path) as file:
            file.write(f"{json.dumps(held, indent=2, allow_nan=False, ensure_ascii=False)}\n".encode())

    def _read(self) -> dict[str, Any] | None:
        return read_measurements(self.path) if self.path.exists() else None


def read_measurements(path: Path) -> dict[str, Any]:
    """Return ``machine`` and ``benchmarks`` of a file.

    Raises:
        InputError: it is no such file.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no file of measurements ({error})") from error
    if not isinstance(held, dict) or not {"machine", "benchmarks"} <= held.keys():
        raise InputError(f"{path}: no file of measurements; expected 'machine' and 'benchmarks' in it")
    return held
