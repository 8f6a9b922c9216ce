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
KERNELS = ("triton", "triton_kernels", "kernels")  # what only who has Triton imports: of an op, and for its tests


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
            inside = (CORE / "contrastbench/core/hosts") in file.parents or file.stem in KERNELS
            assert not used or inside, f"{file} imports {sorted(used)}"


def test_core_and_packages_import_without_any_framework():
    names = [
        module_name(file, source)
        for source in [CORE, *(p / "src" for p in PACKAGES)]
        for file in modules(source)
        if "hosts" not in file.parts and file.stem not in KERNELS
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


# Calls that run what a file says, and what makes them safe; None where nothing does.
RUNS_FILES = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    **dict.fromkeys(("extract", "extractall"), ("filter", "data")),
    **dict.fromkeys(("unpack_archive", "shutil.unpack_archive"), ("filter", "data")),
    **dict.fromkeys(("pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "marshal.loads"), None),
    **dict.fromkeys(("yaml.load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "runpy.run_path"), None),
    **dict.fromkeys(("eval", "exec", "os.system", "os.popen", "torch.hub.load", "pd.read_pickle"), None),
    **dict.fromkeys(("load_state_dict_from_url", "torch.hub.load_state_dict_from_url"), None),
}
# Reads a pickle by a list of what it may name.
LISTED = {("shared/src/contrastbench/core/hosts/detectron2/weights.py", "pickle.Unpickler")}


def unsafe(tree: ast.Module) -> Iterator[str]:
    """Every call that would run what a file says, and every subclass of an unpickler."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (name for base in node.bases if (name := ast.unparse(base)) == "pickle.Unpickler")
        if not isinstance(node, ast.Call):
            continue
        given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        if given.get("shell") or given.get("allow_pickle") or given.get("weights_only") is False:
            yield ast.unparse(node)
        full = ast.unparse(node.func)
        # a method by its own name, whatever it is called on
        name = full if full in RUNS_FILES else full.rpartition(".")[2] if "." in full else ""
        if name in RUNS_FILES and (name == full or name.startswith("extract")):
            safe = RUNS_FILES[name]
            if safe is None or given.get(safe[0]) != safe[1]:
                yield full


def test_nothing_that_is_loaded_is_run():
    files = [f for d in DISTRIBUTIONS for part in ("src", "examples", "benchmarks") for f in modules(d / part)]
    assert len(files) > 100
    found = {(f.relative_to(ROOT).as_posix(), call) for f in files for call in unsafe(ast.parse(f.read_text()))}
    assert found == LISTED


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=flag)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "pickle.load(f)",
        "class A(pickle.Unpickler): pass",
        "yaml.load(f, Loader)",
        "tar.extractall(folder)",
        "archive.extract(member, folder)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_what_would_run_is_seen(code):
    assert list(unsafe(ast.parse(code)))


def test_what_is_safe_is_let_through():
    code = "torch.load(f, weights_only=True); np.load(f, allow_pickle=False); yaml.safe_load(f); model.eval()"
    assert not list(unsafe(ast.parse(f"{code}; tar.extractall(folder, filter='data')")))
