import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contrastbench.reproductions import cli

HERE = Path(__file__).parent
# toys must be importable here, and in the processes that launchers start
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))

SEARCHPATH = f"hydra.searchpath=[file://{HERE / 'conf'}]"


class Reproduce:
    """Calls the command on the toy tables in a folder of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.journal = folder / "journal.txt"
        self._capsys = capsys
        self.out = self.err = ""

    def arguments(self, command: str, *words: str, format: str = "json") -> list[str]:
        papers = [] if command == "clean" else ["--papers", str(HERE / "papers")]
        found = [command, *papers, "--format", format, *words]
        return [*found, SEARCHPATH] if command in ("run", "plan") else found

    def __call__(self, command: str, *words: str, format: str = "json") -> int:
        code = cli.main(self.arguments(command, *words, format=format))
        self.out, self.err = self._capsys.readouterr()
        return code

    def published(self, command: str, *words: str) -> int:
        """Call it on the tables of the papers."""
        code = cli.main([command, "--format", "json", *words])
        self.out, self.err = self._capsys.readouterr()
        return code

    def start(self, command: str, *words: str) -> "subprocess.Popen[str]":
        """Start it as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "contrastbench.reproductions.cli", *self.arguments(command, *words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a process whose parent ignores Ctrl-C, as under nohup, would ignore it too
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def steps(self) -> list[tuple[str, str]]:
        """What was done so far: (gain/seed, step) in order."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [(f"{gain}/{seed}", step) for gain, seed, step, _ in (line.split() for line in lines)]

    @property
    def journalled(self) -> str:
        return f"experiment.journal={self.journal}"

    def records(self) -> list[Path]:
        return sorted(self.folder.glob("runs/records/*/*/*/*/*.json"))


@pytest.fixture
def reproduce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    return Reproduce(tmp_path, capsys)
