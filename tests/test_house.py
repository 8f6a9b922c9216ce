"""The rules of the house: who may import whom, and what must work without what."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "shared/src"
PACKAGES = sorted(p.parent for p in (ROOT / "packages").glob("*/pyproject.toml"))
DISTRIBUTIONS = [ROOT / "shared", *PACKAGES, ROOT / "reproductions"]
FRAMEWORKS = {"detectron2", "mmcv", "mmengine", "mmseg", "torchvision", "triton"}


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(file: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""


def module_name(file: Path, source: Path) -> str:
    return ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda d: d.name)
def test_contrastbench_is_a_namespace_package(distribution):
    top = distribution / "src/contrastbench"
    assert top.is_dir()
    assert not (top / "__init__.py").exists()
    assert list(top.rglob("py.typed"))


def test_the_core_imports_no_package():
    for file in modules(CORE):
        for name in imports(file):
            assert not name.startswith("contrastbench.") or name.startswith("contrastbench.core"), f"{file}: {name}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_siblings_never_import_each_other(package):
    (own,) = (p.name for p in (package / "src/contrastbench").iterdir() if p.is_dir())
    for file in modules(package / "src"):
        for name in imports(file):
            allowed = ("contrastbench.core", f"contrastbench.{own}")
            assert not name.startswith("contrastbench.") or name.startswith(allowed), f"{file}: {name}"


def test_only_hosts_import_frameworks():
    for distribution in DISTRIBUTIONS:
        for file in modules(distribution / "src"):
            used = {name.split(".")[0] for name in imports(file)} & FRAMEWORKS
            inside = (CORE / "contrastbench/core/hosts") in file.parents or file.name == "triton.py"
            assert not used or inside, f"{file} imports {sorted(used)}"


def test_core_and_packages_import_without_any_framework():
    names = [
        module_name(file, source)
        for source in [CORE, *(p / "src" for p in PACKAGES)]
        for file in modules(source)
        if "hosts" not in file.parts and file.name != "triton.py"
    ]
    assert "contrastbench.core" in names
    assert "contrastbench.pixel_contrast.objective" in names
    code = f"""
import sys, importlib

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(FRAMEWORKS)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for name in {names!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_siblings_carry_one_version():
    projects = [tomllib.loads((d / "pyproject.toml").read_text())["project"] for d in DISTRIBUTIONS]
    assert len({p["version"] for p in projects}) == 1
    for project in projects:
        extras = [r for extra in project.get("optional-dependencies", {}).values() for r in extra]
        ours = [r for r in project["dependencies"] + extras if r.startswith("contrastbench-") and "==" in r]
        assert all(r.endswith(f"=={project['version']}") for r in ours)


def test_constraints_pin_and_hash_everything_and_name_no_index():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert len(pins) > 50
    assert all("==" in pin and pin.endswith("\\") for pin in pins)
    assert not [line for line in lines if "://" in line or line.strip().startswith("--index")]


def test_the_noxfile_is_thin():
    assert len((ROOT / "noxfile.py").read_text().splitlines()) < 150
