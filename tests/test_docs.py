"""Docs and README say what the records say, and their examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from contrastbench.core.building import build_objective
from contrastbench.reproductions import pages
from contrastbench.reproductions.benchmark_page import benchmark_page
from contrastbench.reproductions.locate import published_dir
from contrastbench.reproductions.tables import find_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs/results"
READMES = sorted(ROOT.glob("packages/*/README.md"))
PAGES = [
    p
    for p in ROOT.rglob("*.md")
    if not {".nox", ".venv", "runs", "_build", "api"} & set(p.relative_to(ROOT).parts)
]  # fmt: skip
SEMANTIC = {"in_channels": (48, 96, 192, 384), "num_classes": 5, "ignore_index": 255}


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE)


def test_the_results_pages_are_those_of_the_records():
    told = pages.pages(published_dir(), RESULTS)
    assert pages.lying(RESULTS) == set(told), "run `nox -s docs`"
    for path, text in told.items():
        assert (RESULTS / path).read_text() == text, f"{path} is not what the records say; run `nox -s docs`"


def test_the_status_in_the_readme_is_that_of_the_records():
    readme = (ROOT / "README.md").read_text()
    assert readme == pages.with_status(readme, published_dir(), "docs/results/"), "run `nox -s docs`"


def test_the_benchmarks_are_those_of_their_files():
    expected = benchmark_page(ROOT / "reproductions" / "benchmarks" / "results")
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == expected, "run `nox -s docs`"


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.parent.name)
def test_the_readme_example_runs(readme, capsys):
    exec(compile(blocks(readme, "python")[0], str(readme), "exec"), {})
    assert float(capsys.readouterr().out) > 0


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.parent.name)
def test_what_a_readme_shows_of_mmsegmentation_builds(readme):
    shown = [block for block in blocks(readme, "python") if "ObjectiveSegmentor" in block]
    if not shown:
        pytest.skip(f"{readme.parent.name} has no semantic objective")
    (block,) = shown
    config: dict = {}
    exec(compile(block, str(readme), "exec"), config)
    objective = build_objective({**config["model"]["objective"], "num_images": 7}, SEMANTIC)
    assert any(True for _ in objective.parameters())


def test_what_the_readme_shows_of_torchvision_runs(tmp_path, monkeypatch):
    detection = pytest.importorskip("torchvision.models.detection", reason="torchvision is not installed")
    import torch

    (block,) = [block for block in blocks(ROOT / "packages/dcl/README.md", "python") if "fit_mask_objective" in block]
    # the pretrained backbone would be downloaded
    plain = partial(detection.maskrcnn_resnet50_fpn, weights_backbone=None)
    monkeypatch.setattr(detection, "maskrcnn_resnet50_fpn", plain)
    monkeypatch.chdir(tmp_path)
    exec(compile(f"import torch\n{block}", "README.md", "exec"), {})
    saved = torch.load("maskrcnn.pth", weights_only=True)
    plain(num_classes=9).load_state_dict(saved)


def test_every_python_block_of_the_docs_compiles():
    for file in PAGES:
        for block in blocks(file, "python"):
            compile(block, str(file), "exec")


def test_commands_name_tables_that_exist():
    named = set()
    for file in PAGES:
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE):
            named |= set(
                re.findall(r"(?:reproduce-table --|reproduce (?:run|plan|show|report)) ([a-z-]+/[\w-]+)", block)
            )
    assert len(named) > 10
    for name in named - {"mine/table-1"}:
        find_table(name)


@pytest.mark.slow
def test_your_own_loss_stands_beside_these(tmp_path):
    pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install './shared[mmseg]'")
    page = (ROOT / "docs/own-loss.md").read_text()
    files = re.findall(r"^`(mine/[^`]+)`:\n\n```\w+\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(files) == 4
    for name, text in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (commands,) = blocks(ROOT / "docs/own-loss.md", "bash")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cache = str(tmp_path / "cache")
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "CONTRASTBENCH_CACHE": cache, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Class centres over Cross-entropy" in done.stdout
    assert len(list((tmp_path / "runs/records/mine/table-1/smoke/scenes").glob("centres-seed*.json"))) == 2


def links(file: Path) -> list[str]:
    # what stands in code is no link
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", file.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [t for t in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in t]


@pytest.mark.parametrize("file", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(file):
    for target in links(file):
        assert (file.parent / target).exists(), f"{file}: {target}"


class TestTheSitesOwnParts:
    @pytest.fixture(autouse=True)
    def extensions(self, monkeypatch):
        pytest.importorskip("sphinx", reason="sphinx is not installed")
        monkeypatch.syspath_prepend(str(ROOT / "docs/_ext"))

    def test_a_link_to_a_section_becomes_the_section(self, tmp_path):
        import sections

        page = ROOT / "docs/use/dcl.md"
        filled = sections.fill(page.read_text(), page)
        assert "fit_mask_objective(model" in filled
        assert "(../../packages/dcl/examples/torchvision_maskrcnn.py)" in filled
        assert "README.md#" not in filled

    def test_a_section_that_is_gone_is_an_error(self):
        import sections
        from sphinx.errors import ExtensionError

        with pytest.raises(ExtensionError, match="no section #gone"):
            sections.fill("[a](../../packages/dcl/README.md#gone)\n", ROOT / "docs/use/dcl.md")

    def test_the_reference_has_every_module_and_what_is_exported(self):
        import api_pages

        import contrastbench.dcl as package

        told = api_pages.pages()
        for module in api_pages.modules():
            assert any(f"`{module}`\n" in text or text.startswith(f"# {module}\n") for text in told.values()), module
        for name in package.__all__:
            assert name.isupper() or f"### {name}\n" in told["contrastbench.dcl"]

    def test_docstrings_keep_their_words_and_are_no_markup(self):
        from docstrings import as_markdown

        told = as_markdown(
            "Take |C| x *N* of :class:`~a.b.Thing`.\n\nMore.\n\nArgs:\n    x: ``[B, C]``, as\n        <there>.\n"
            "    *rest: others.\n\nReturns:\n    A sum.\n\nRaises:\n    ValueError: never."
        )
        assert told == (
            "Take \\|C\\| x \\*N\\* of ``Thing``.\n\nMore.\n\n**Arguments**\n\n- `x`: ``[B, C]``, as \\<there\\>.\n"
            "- `*rest`: others.\n\n**Returns**\n\nA sum.\n\n**Raises**\n\n- `ValueError`: never."
        )
