"""Each part installs by itself, in an empty environment, from the tree as it lies there."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize(
    "what",
    [
        ("./shared", "./packages/pixel-contrast"),
        ("./packages/pixel-contrast",),
        ("./shared", "./packages/contextrast"),
        ("./shared", "./packages/dcl"),
        ("./shared", "./packages/longtail"),
    ],
    ids="+".join,
)
def test_a_package_alone_runs_its_readme_example(what, tmp_path):
    python = empty_environment(tmp_path)
    run(*pinned(python, *what), cwd=ROOT)
    absent = "import importlib.util as u; assert not [n for n in ('mmseg', 'torchvision', 'hydra') if u.find_spec(n)]"
    run(python, "-c", absent, cwd=tmp_path)
    printed = run(python, "-c", first_python_block(ROOT / what[-1] / "README.md"), cwd=tmp_path)
    assert float(printed.split()[-1]) > 0


def test_mask_errors_alone_analyses_results(tmp_path):
    python = empty_environment(tmp_path)
    run(*pinned(python, "./shared", "./packages/dcl"), cwd=ROOT)
    square = {"size": [8, 8], "counts": [18, 4, 4, 4, 34]}
    truth = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": square, "bbox": [2, 2, 2, 4], "area": 8}
    dataset = {
        "images": [{"id": 1, "file_name": "1.png", "height": 8, "width": 8}],
        "annotations": [{**truth, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "square"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(dataset))
    half = {"image_id": 1, "category_id": 1, "segmentation": {"size": [8, 8], "counts": [18, 4, 42]}, "score": 0.9}
    (tmp_path / "results.json").write_text(json.dumps([half]))
    told = run(python.parent / "mask-errors", "truth.json", "results.json", "--format", "json", cwd=tmp_path)
    # half of the object is found: right at an IoU of 0.5 alone, and everywhere once the other half is added
    assert json.loads(told)["ap"] == pytest.approx(10)
    assert json.loads(told)["delta_ap"] == {"ffp": 0, "bfp": 0, "fn": pytest.approx(90)}


def test_the_wheel_of_the_reproductions_holds_tables_and_records(tmp_path):
    run(uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, "reproductions", cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = run("python", "-m", "zipfile", "-l", wheel, cwd=tmp_path)
    for name in ("papers/pixel-contrast/table-1.yaml", "conf/run.yaml", "py.typed"):
        assert f"contrastbench/reproductions/{name}" in names
