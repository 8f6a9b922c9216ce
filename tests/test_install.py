"""Each part installs by itself, in an empty environment, from the tree as it lies there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
uv = shutil.which("uv")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(uv is None, reason="uv is not on the path; `pip install uv`"),
]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def empty_environment(folder: Path) -> Path:
    run(uv, "venv", "--quiet", folder / "env", cwd=folder)
    return folder / "env/bin/python"


def pinned(python: Path, *what: str) -> list[str | Path]:
    return [uv, "pip", "install", "--quiet", "--python", python, "--constraint", "constraints.txt", *what]


def first_python_block(readme: Path) -> str:
    return readme.read_text().split("```python\n", 1)[1].split("```", 1)[0]


@pytest.mark.parametrize("what", [("./shared", "./packages/pixel-contrast"), ("./packages/pixel-contrast",)])
def test_pixel_contrast_alone_runs_its_readme_example(what, tmp_path):
    python = empty_environment(tmp_path)
    run(*pinned(python, *what), cwd=ROOT)
    run(python, "-c", "import importlib.util as u; assert u.find_spec('mmseg') is None", cwd=tmp_path)
    printed = run(python, "-c", first_python_block(ROOT / "packages/pixel-contrast/README.md"), cwd=tmp_path)
    assert float(printed.split()[-1]) > 0


def test_the_wheel_of_the_reproductions_holds_tables_and_records(tmp_path):
    run(uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, "reproductions", cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = run("python", "-m", "zipfile", "-l", wheel, cwd=tmp_path)
    for name in ("papers/pixel-contrast/table-1.yaml", "conf/run.yaml", "py.typed"):
        assert f"contrastbench/reproductions/{name}" in names
