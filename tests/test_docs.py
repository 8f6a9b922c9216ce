"""Docs and README say what the records say, and their examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contrastbench.reproductions import pages
from contrastbench.reproductions.locate import published_dir

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs/results"


def test_the_results_pages_are_those_of_the_records():
    told = pages.pages(published_dir())
    lying = {path.relative_to(RESULTS).as_posix() for path in RESULTS.rglob("*.md")}
    assert lying == set(told), "run `nox -s docs`"
    for path, text in told.items():
        assert (RESULTS / path).read_text() == text, f"{path} is not what the records say; run `nox -s docs`"


def test_the_status_in_the_readme_is_that_of_the_records():
    readme = (ROOT / "README.md").read_text()
    assert readme == pages.with_status(readme, published_dir(), "docs/results/"), "run `nox -s docs`"


@pytest.mark.parametrize("package", sorted(p.parent.name for p in ROOT.glob("packages/*/README.md")))
def test_the_readme_example_runs(package, capsys):
    text = (ROOT / "packages" / package / "README.md").read_text()
    example = text.split("```python\n", 1)[1].split("```", 1)[0]
    exec(compile(example, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0


def links(file: Path) -> list[str]:
    return [t for t in re.findall(r"\]\(([^)#\s]+)[^)]*\)", file.read_text()) if "://" not in t]


@pytest.mark.parametrize(
    "file",
    [p for p in ROOT.rglob("*.md") if not {".nox", ".venv", "runs", "_build"} & set(p.relative_to(ROOT).parts)],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_links_within_the_repository_lead_somewhere(file):
    for target in links(file):
        assert (file.parent / target).exists(), f"{file}: {target}"
