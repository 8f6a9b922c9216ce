"""The bars of Figure 2 and the examples of Figure 1."""

from pathlib import Path

import numpy as np
import pytest
from coco_cases import HEIGHT, WIDTH, found, rectangle, truth
from matplotlib.colors import to_rgb
from PIL import Image

from contrastbench.core.errors import InputError
from contrastbench.dcl.errors import ErrorScores, MaskErrorReport, analyse
from contrastbench.dcl.errors.chart import error_chart
from contrastbench.dcl.errors.colours import COLOURS
from contrastbench.dcl.errors.examples import Example, choose_examples, draw_examples

SQUARE, RIGHT_OF_IT = rectangle(10, 10, 20, 20), rectangle(10, 30, 20, 20)


def report(ap: float | None, ffp: float | None, bfp: float | None, fn: float | None) -> MaskErrorReport:
    return MaskErrorReport(ErrorScores(ap, {"ffp": ffp, "bfp": bfp, "fn": fn}), {}, (), 0, 0, "leave")


def coloured(path: Path) -> dict[str, int]:
    """How many pixels of a picture have each kind's plain colour."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return {
        kind: int((np.abs(pixels - np.round(255 * np.array(to_rgb(colour)))).max(2) <= 2).sum())
        for kind, colour in COLOURS.items()
    }


def test_bars_are_as_high_as_the_gains(tmp_path: Path) -> None:
    path = tmp_path / "new" / "errors.png"
    error_chart({"baseline": report(30, 5, 10, 40)}, path)
    one = coloured(path)
    assert 1.7 < one["bfp"] / one["ffp"] < 2.3
    assert 3.3 < one["fn"] / one["bfp"] < 4.7
    assert [p.name for p in path.parent.iterdir()] == ["errors.png"]


def test_several_reports_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    reports = {"baseline": report(30, 5, 5, 19), "DCL": report(32, 5, 5, 15), "nothing": report(None, None, None, None)}
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path in paths:
        error_chart(reports, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with Image.open(paths[0]) as picture:
        assert picture.width > picture.height


def test_a_chart_that_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no report"):
        error_chart({}, tmp_path / "errors.png")
    with pytest.raises(InputError, match=r"suffix names no picture format; known: .*png"):
        error_chart({"a": report(1, 1, 1, 1)}, tmp_path / "errors.jason")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        error_chart({"a": report(1, 1, 1, 1)}, tmp_path / "file" / "errors.png")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def problem(tmp_path: Path) -> tuple[dict, list, MaskErrorReport, Path]:
    """Image 1: half missing, surely; image 2: spills onto the neighbour; image 3: spills onto the background."""
    ground_truth = truth((1, SQUARE), (1, SQUARE, 2), (2, RIGHT_OF_IT, 2), (1, SQUARE, 3))
    results = found(
        (1, rectangle(10, 10, 20, 10), 0.9, 1),
        (1, rectangle(10, 10, 20, 8), 0.4, 1),
        (1, rectangle(10, 10, 20, 40), 0.8, 2),
        (1, rectangle(10, 10, 20, 40), 0.7, 3),
        (1, rectangle(10, 10, 20, 4), 0.3, 2),
    )
    for image in ground_truth["images"]:
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        Image.fromarray(picture).save(tmp_path / image["file_name"])
    return ground_truth, results, analyse(ground_truth, results), tmp_path


def test_examples_are_the_largest_errors_of_sure_predictions_one_an_image(problem) -> None:
    _, results, report, _ = problem
    chosen = [(e.kind, e.rank, e.match.result) for e in choose_examples(report, results, 3)]
    assert chosen == [("ffp", 1, 2), ("bfp", 1, 3), ("fn", 1, 0), ("fn", 2, 4)]
    assert len(choose_examples(report, results, 1)) == 3


def test_examples_show_each_kind_in_its_colour(problem) -> None:
    ground_truth, results, report, folder = problem
    examples = choose_examples(report, results, 1)
    paths = draw_examples(examples, ground_truth, results, folder, folder / "examples")
    assert [p.name for p in paths] == ["ffp-1.png", "bfp-1.png", "fn-1.png"]
    assert sorted(paths) == sorted((folder / "examples").iterdir())
    # the key below shows all colours, plain; the shade over the grey image is the error's own
    for path, kind in zip(paths, ("ffp", "bfp", "fn"), strict=True):
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        faded = 255 * (0.35 + 0.65 * 90 / 255)
        counts = {}
        for other, colour in COLOURS.items():
            shade = 0.25 * faded + 0.75 * 255 * np.array(to_rgb(colour))
            counts[other] = int((np.abs(pixels - shade).max(2) <= 2).sum())
        assert counts.pop(kind) > 10_000
        assert set(counts.values()) == {0}
    again = draw_examples(examples, ground_truth, results, folder, folder / "again")
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]


def test_a_mask_that_fills_the_image_can_be_shown(problem) -> None:
    _, _, _, folder = problem
    everything = rectangle(0, 0, HEIGHT, WIDTH)
    ground_truth, results = truth((1, everything)), found((1, rectangle(0, 0, HEIGHT, WIDTH // 2)))
    (match,) = analyse(ground_truth, results).matches
    (path,) = draw_examples([Example("fn", 1, match)], ground_truth, results, folder, folder / "whole")
    assert path.is_file()


def test_an_image_that_is_not_what_was_annotated(problem) -> None:
    ground_truth, results, report, folder = problem
    examples = choose_examples(report, results, 1)
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(folder / "2.png")
    with pytest.raises(InputError, match=r"2\.png' is 61x80 pixels, and the ground truth says 60x80"):
        draw_examples(examples, ground_truth, results, folder, folder / "examples")
    (folder / "2.png").unlink()
    with pytest.raises(InputError, match="no such file"):
        draw_examples(examples, ground_truth, results, folder, folder / "examples")
    del ground_truth["images"][1]["file_name"]
    with pytest.raises(InputError, match="names no file for it"):
        draw_examples(examples, ground_truth, results, folder, folder / "examples")
