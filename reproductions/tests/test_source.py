import ast
import sys
from pathlib import Path

import pytest

from contrastbench.reproductions.source import canonical, source_digest

CONFIG = {"_target_": "sample.work.Experiment", "objective": {"type": "addon.loss.Loss"}}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "sample/work.py": "from sample import helper\nfrom .inner.deep import thing\nclass Experiment: pass\n",
        "sample/helper.py": "import json\nVALUE = 1\n",
        "sample/inner/__init__.py": "",
        "sample/inner/deep.py": "def thing():\n    return 1\n",
        "sample/unrelated.py": "VALUE = 1\n",
        "addon/__init__.py": "",
        "addon/loss.py": "class Loss: pass\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def edit(path: Path, text: str) -> None:
    path.write_text(text)


def test_comments_docstrings_and_layout_take_no_part(tree: Path) -> None:
    before = source_digest(CONFIG)
    edit(
        tree / "sample/inner/deep.py",
        '"""What it is."""\n\n\n# why\ndef thing(\n):\n    "Says one."\n    return (1)\n',
    )
    assert source_digest(CONFIG) == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sample/work.py", "class Experiment: value = 2\n"),
        ("sample/helper.py", "import json\nVALUE = 2\n"),
        ("sample/inner/deep.py", "def thing():\n    return 2\n"),
        ("sample/inner/__init__.py", "VALUE = 2\n"),
        ("addon/loss.py", "class Loss: value = 2\n"),
        ("addon/__init__.py", "VALUE = 2\n"),
    ],
)
def test_what_the_experiment_reaches_takes_part(tree: Path, file: str, text: str) -> None:
    before = source_digest(CONFIG)
    edit(tree / file, text)
    assert source_digest(CONFIG) != before


def test_what_it_does_not_reach_takes_none(tree: Path) -> None:
    before = source_digest(CONFIG)
    baseline = source_digest({"_target_": "sample.work.Experiment", "objective": None})
    edit(tree / "sample/unrelated.py", "VALUE = 2\n")
    assert source_digest(CONFIG) == before
    edit(tree / "addon/loss.py", "class Loss: value = 2\n")
    assert source_digest({"_target_": "sample.work.Experiment", "objective": None}) == baseline


def test_nothing_is_imported(tree: Path) -> None:
    edit(tree / "addon/loss.py", "raise RuntimeError\n")
    source_digest(CONFIG)
    assert not {"sample", "sample.work", "addon", "addon.loss"} & set(sys.modules)


def test_the_canonical_form_tells_code_apart() -> None:
    def form(text: str) -> str:
        return canonical(ast.parse(text))

    assert form("x = 1") == form("x  =  1  # one")
    assert form("x = 1") != form("x = 1.0")
    assert form("x = 'a'") != form("x = b'a'")
    assert form("def f(): return 1") != form("def f(): yield 1")
    # a text that is no docstring stays
    assert form("def f():\n    x = 1\n    'a'") != form("def f():\n    x = 1")
