"""Figures and their files."""

import sys

import pytest

from contrastbench.core.errors import InputError
from contrastbench.core.figures import new_figure, write_figure


def _drawn():
    figure = new_figure((2, 1), "something")
    figure.subplots().plot([0, 1], [1, 0], label="a line")
    return figure


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, suffix):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it comes with any package's pictures")
    first, second = (tmp_path / name / f"figure.{suffix}" for name in ("a", "b"))
    write_figure(_drawn(), first)
    write_figure(_drawn(), second)
    assert first.read_bytes() == second.read_bytes()
    assert [file.name for file in first.parent.iterdir()] == [first.name]


def test_a_suffix_that_names_no_format_is_refused(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it comes with any package's pictures")
    with pytest.raises(InputError, match=r"names no picture format; known: .*png"):
        write_figure(_drawn(), tmp_path / "figure.word")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it comes with any package's pictures")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*choose another place"):
        write_figure(_drawn(), tmp_path / "file" / "figure.png")


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"pip install 'contrastbench-dcl\[pictures\]'"):
        new_figure((1, 1), "contrastbench-dcl[pictures]")
