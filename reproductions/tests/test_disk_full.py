"""A full disk is an error, not a lost record."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import contrastbench.core.writing as writing
import contrastbench.reproductions.ledger as ledger_module
from contrastbench.core.writing import whole

ONE = ("toys/table-4", "seeds=1", "hydra/launcher=basic")
NO_SPACE = "No space left on device"


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, NO_SPACE)


def scores(reproduce: Any) -> dict[str, Any]:
    found = (json.loads(path.read_text()) for path in reproduce.records())
    return {record["row"]: record["metrics"] for record in found}


def test_a_checkpoint_that_does_not_fit_stops_the_run_and_the_next_goes_on(
    reproduce: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reproduce("run", *ONE, "runs=undisturbed") == 0
    settle, steps = writing.settle, 0

    def room_for_fifty(partial: Path, path: Path) -> None:
        nonlocal steps
        steps += 1
        # forty of the first row, ten of the second
        full() if steps > 50 else settle(partial, path)

    monkeypatch.setattr(writing, "settle", room_for_fifty)
    assert reproduce("run", *ONE) == 2
    assert reproduce.err.count("error: ") == 1
    assert f"wide, seed 0: cannot write to '{reproduce.folder / 'runs'}' ({NO_SPACE})" in reproduce.err
    assert "Traceback" not in reproduce.err
    assert list(scores(reproduce)) == ["narrow"]
    # half a checkpoint would fill the disk further
    assert list(reproduce.folder.glob("runs/work/*/state/*.partial")) == []
    assert len(list(reproduce.folder.glob("runs/work/*/state/checkpoint.pth"))) == 1

    monkeypatch.setattr(writing, "settle", settle)
    assert reproduce("run", *ONE) == 0
    undisturbed = [json.loads(p.read_text()) for p in reproduce.folder.glob("undisturbed/records/*/*/*/*/*.json")]
    assert scores(reproduce) == {record["row"]: record["metrics"] for record in undisturbed}


def test_a_record_that_does_not_fit_is_not_lost(reproduce: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write = ledger_module.write_atomically

    def no_room_for_records(path: Path, text: str, *, durable: bool = False) -> None:
        full() if durable else write(path, text)

    words = ("toys/table-1", reproduce.journalled, "seeds=1", "rows=plain", "hydra/launcher=basic")
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "write_atomically", no_room_for_records)
        assert reproduce("run", *words) == 2
    assert f"cannot write to '{reproduce.folder / 'runs' / 'records'}' ({NO_SPACE})" in reproduce.err
    done = reproduce.steps
    assert reproduce("run", *words) == 0
    assert reproduce.steps == done  # nothing was done again
    assert len(reproduce.records()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_that_does_not_fit_costs_no_record(reproduce: Any) -> None:
    words = ("toys/table-1", "seeds=1", "rows=plain", "hydra/launcher=basic")
    assert reproduce("plan", *words) == 0
    folder = reproduce.folder / "runs" / "work" / reproduce.data["runs"][0]["id"]
    folder.mkdir(parents=True)
    (folder / "log.txt").symlink_to("/dev/full")
    assert reproduce("run", *words) == 0, reproduce.err
    assert len(reproduce.records()) == 1


@pytest.mark.parametrize("length", [10, 3_000_000])
def test_what_is_written_whole_is_whole_or_as_it_was(tmp_path: Path, length: int) -> None:
    import torch

    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / "file.partial").symlink_to("/dev/full")
    # torch says RuntimeError where it finds no room at the end of a long file
    with pytest.raises(OSError, match=NO_SPACE), whole(path) as file:
        torch.save(torch.zeros(length), file)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with whole(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def may_mount() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="this machine lets nobody mount a small disk")
def test_on_a_disk_that_is_full_and_then_is_not(reproduce: Any) -> None:
    run = " ".join(f"'{word}'" for word in [sys.executable, "-m", "contrastbench.reproductions.cli"])
    run += " " + " ".join(f"'{word}'" for word in reproduce.arguments("run", *ONE, "runs=disk/runs", "records=records"))
    # room for both files of the narrow row (of half a megabyte each), for one of the wide row
    script = f"""
        mkdir disk && mount -t tmpfs -o size=1500k none disk
        {run} >first.txt 2>&1; echo $? >first.code
        ls disk/runs/work/*/state >left.txt
        mount -o remount,size=20m disk
        {run} >second.txt 2>&1; echo $? >second.code
    """
    subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script], check=True, env={**os.environ}
    )
    assert Path("first.code").read_text() == "2\n", Path("first.txt").read_text()
    assert (
        f"error: wide, seed 0: cannot write to '{reproduce.folder}/disk/runs' ({NO_SPACE})"
        in Path("first.txt").read_text()
    )
    assert Path("left.txt").read_text().split() == ["checkpoint.pth"]
    assert Path("second.code").read_text() == "0\n", Path("second.txt").read_text()
    assert len(list(Path("records").glob("*/*/*/*/*.json"))) == 2
