"""What a user can get wrong with data: one clear error, exit code 2, no record."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install './shared[mmseg]'")

from contrastbench.reproductions.cli import main


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def camvid(tmp_path) -> Path:
    """A whole little data set in CamVid's layout."""
    root = tmp_path / "camvid"
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        for i in range(2):
            Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)).save(root / split / f"{i}.png")
            Image.fromarray(rng.integers(0, 12, (24, 32), np.uint8)).save(root / f"{split}annot" / f"{i}.png")
    return root


def run(root: Path, runs: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    code = main(
        ["run", "pixel-contrast/table-1", "profile=smoke", "data=camvid", f"data.root={root}", f"runs={runs}", *more]
    )
    return code, capsys.readouterr().err


def remove_folder(root: Path) -> None:
    shutil.rmtree(root / "valannot")


def remove_label(root: Path) -> None:
    (root / "trainannot/1.png").unlink()


def cut_image(root: Path) -> None:
    file = root / "train/0.png"
    file.write_bytes(file.read_bytes()[:100])


def foreign_id(root: Path) -> None:
    Image.fromarray(np.full((24, 32), 77, np.uint8)).save(root / "trainannot/0.png")


def other_size(root: Path) -> None:
    Image.fromarray(np.zeros((24, 30), np.uint8)).save(root / "valannot/1.png")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, ["there is no folder", "data.root"]),
        (remove_folder, ["incomplete", "valannot"]),
        (remove_label, ["incomplete", "trainannot/1.png"]),
        (cut_image, ["train/0.png"]),
        (foreign_id, ["trainannot/0.png", "77"]),
        (other_size, ["val/1.png", "valannot/1.png", "same size"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_spoilt_data_are_named(spoil: Callable[[Path], None], said, camvid, tmp_path, capsys):
    spoil(camvid)
    code, error = run(camvid, tmp_path / "runs", capsys)
    assert code == 2
    assert "Traceback" not in error
    assert error.count("error:") == 1
    assert all(word in error for word in said), error
    assert not list((tmp_path / "runs").rglob("*.json"))


def test_a_run_folder_that_cannot_be_written_is_named(camvid, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, error = run(camvid, tmp_path / "file/runs", capsys)
    assert code == 2
    assert "cannot write to the folder" in error
    assert "Traceback" not in error


def test_whole_data_train(camvid, tmp_path, capsys):
    code, error = run(camvid, tmp_path / "runs", capsys, "rows=[inter]")
    assert code == 0, error
    (record,) = (tmp_path / "runs/records").rglob("*.json")
    assert str(camvid) not in record.read_text(), "a record does not tell where the data lay"
