"""The kinds of error pixels, dense and as run lengths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastbench.core.data.coco import decode, encode
from contrastbench.dcl.errors.matching import UNMATCHED, match
from contrastbench.dcl.errors.regions import ImageRegions
from contrastbench.dcl.errors.split import KINDS, split_errors


def picture(rows: str) -> dict[str, np.ndarray]:
    """Masks from a drawing: a pixel is in the masks whose letters stand there; '.' is in none."""
    cells = [row.split() for row in rows.strip().splitlines()]
    return {name: np.array([[name in cell for cell in row] for row in cells]) for name in "DGOC"}


@st.composite
def scenes(draw: st.DrawFn) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    seed = draw(st.integers(0, 2**32 - 1))
    shares = draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), min_size=2, max_size=5))
    crowds = draw(st.integers(0, 2))
    rng = np.random.default_rng(seed)
    prediction, *instances = (rng.random((height, width)) < share for share in shares)
    return prediction, instances, [rng.random((height, width)) < 0.3 for _ in range(crowds)]


def test_each_pixel_of_a_drawing_by_hand() -> None:
    # D the prediction, G the matched instance, O another one, C a crowd region
    masks = picture("""
        .  D  DG  G   GO
        O  DO DGO DC  GC
        C  DOC DGC OC .
    """)
    errors = split_errors(masks["D"], masks["G"], masks["G"] | masks["O"], masks["C"])
    assert errors.ffp.astype(int).tolist() == [[0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert errors.bfp.astype(int).tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert errors.fn.astype(int).tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


@given(scenes())
def test_the_kinds_are_disjoint_and_make_up_the_symmetric_difference_outside_crowd(scene) -> None:
    prediction, instances, crowds = scene
    crowd = np.logical_or.reduce([np.zeros_like(prediction), *crowds])
    foreground = np.logical_or.reduce(instances)
    for matched in instances:
        errors = split_errors(prediction, matched, foreground, crowd)
        times = sum(kind.astype(int) for kind in errors)
        assert np.array_equal(times, ((prediction ^ matched) & ~crowd).astype(int))


@given(scenes())
def test_run_lengths_correct_as_dense_masks_do(scene) -> None:
    prediction, instances, crowds = scene
    crowd = np.logical_or.reduce([np.zeros_like(prediction), *crowds])
    foreground = np.logical_or.reduce(instances)
    regions = ImageRegions([encode(i) for i in instances], [encode(c) for c in crowds], *prediction.shape)
    for place, matched in enumerate(instances):
        errors = split_errors(prediction, matched, foreground, crowd)
        corrected = regions.corrected(encode(prediction), place)
        assert tuple(corrected) == KINDS
        assert np.array_equal(decode(corrected["ffp"], *prediction.shape), prediction & ~errors.ffp)
        assert np.array_equal(decode(corrected["bfp"], *prediction.shape), prediction & ~errors.bfp)
        assert np.array_equal(decode(corrected["fn"], *prediction.shape), prediction | errors.fn)


@given(scenes())
def test_correcting_all_three_gives_the_instance(scene) -> None:
    prediction, instances, _ = scene
    matched = instances[0]
    regions = ImageRegions([encode(i) for i in instances], [], *prediction.shape)
    mask = encode(prediction)
    for kind in KINDS:
        mask = regions.corrected(mask, 0)[kind]
    assert np.array_equal(decode(mask, *matched.shape), matched)


def rows(*lengths: int) -> list[dict]:
    """Masks that are the first pixels of a row of 100."""
    return [encode(np.arange(100)[None] < length) for length in lengths]


@pytest.mark.parametrize(("length", "expected"), [(10, 0), (9, UNMATCHED), (0, UNMATCHED)])
def test_a_match_needs_an_iou_of_a_tenth(length: int, expected: int) -> None:
    assert match(rows(length), [1], rows(100), [1]).tolist() == [expected]


def test_a_match_is_of_the_same_category_however_well_another_fits() -> None:
    assert match(rows(50, 50, 50), [1, 2, 3], rows(50, 40), [2, 1]).tolist() == [1, 0, UNMATCHED]


def test_the_best_overlap_wins_several_may_share_it_and_the_last_of_equals_counts() -> None:
    assert match(rows(50, 55), [1, 1], rows(20, 50, 90), [1, 1, 1]).tolist() == [1, 1]
    assert match(rows(50), [1], rows(40, 40, 20), [1, 1, 1]).tolist() == [1]


def test_nothing_to_match() -> None:
    assert match([], [], rows(5), [1]).tolist() == []
    assert match(rows(5), [1], [], []).tolist() == [UNMATCHED]
