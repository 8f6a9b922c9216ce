import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as mask_api
from torch.nn import functional as F
from written_instances import ground_truth, square

from contrastbench.core.data.coco import (
    decode,
    encode,
    encode_regions,
    read_ground_truth,
    resize_mask,
    resized,
    to_rle,
)
from contrastbench.core.data.coco.run_lengths import run_lengths
from contrastbench.core.errors import InputError

masks = hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@st.composite
def long_runs(draw: st.DrawFn) -> np.ndarray:
    """Masks whose run lengths take several characters."""
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    borders = draw(st.lists(st.integers(0, height * width), max_size=12).map(sorted))
    flat = np.zeros(height * width, bool)
    for begin in borders:
        flat[begin:] ^= True
    return flat.reshape(height, width)


def plain_decode(rle: dict, height: int, width: int) -> np.ndarray:
    """Decode run lengths by a plain loop, as they are defined."""
    pixels, value = [], 0
    for length in rle["counts"]:
        pixels += [value] * length
        value = 1 - value
    return np.array(pixels, bool).reshape(width, height).T


@given(masks | long_runs())
def test_round_trip(mask: np.ndarray) -> None:
    rle = encode(mask)

    assert isinstance(rle["counts"], str)
    assert rle["size"] == list(mask.shape)
    assert np.array_equal(decode(rle, *mask.shape), mask)


@given(st.lists(masks | long_runs(), max_size=6))
def test_run_lengths_of_many_masks_at_once(several: list[np.ndarray]) -> None:
    runs = run_lengths([encode(mask)["counts"].encode() for mask in several])

    assert runs.valid.all()
    assert runs.pixels.tolist() == [mask.size for mask in several]
    assert runs.area.tolist() == [mask.sum() for mask in several]
    for index, mask in enumerate(several):
        own = runs.lengths[runs.first[index] : runs.first[index + 1]]
        assert np.array_equal(plain_decode({"counts": own}, *mask.shape), mask)


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_any_bytes_are_judged_one_by_one(strings: list[bytes]) -> None:
    together = run_lengths(strings)

    for index, string in enumerate(strings):
        alone = run_lengths([string])
        assert together.valid[index] == alone.valid[0]
        assert together.valid[index] == (lengths_of(string) is not None)
        if alone.valid[0]:
            own = together.lengths[together.first[index] : together.first[index + 1]]
            assert own.tolist() == alone.lengths.tolist() == lengths_of(string)
            assert together.pixels[index] == sum(own)


def lengths_of(string: bytes) -> list[int] | None:
    """Read one compressed string character by character; None where it is malformed."""
    lengths: list[int] = []
    place = number = 0
    for position, byte in enumerate(string):
        code = byte - 48
        if not 0 <= code < 64 or place >= 7:
            return None
        number |= (code & 31) << (5 * place)
        place += 1
        if code & 32:
            if position == len(string) - 1:
                return None
            continue
        if code & 16:
            number -= 1 << (5 * place)
        if len(lengths) > 2:
            number += lengths[-2]
        lengths.append(number)
        place = number = 0
    return None if any(length < 0 for length in lengths) else lengths


@given(masks)
def test_three_encodings_of_one_mask(mask: np.ndarray) -> None:
    flat = mask.T.ravel()
    borders = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], borders, [flat.size]])).tolist()
    counts = [0, *counts] if flat[0] else counts
    uncompressed = {"size": list(mask.shape), "counts": counts}

    assert np.array_equal(decode(uncompressed, *mask.shape), mask)
    assert to_rle(uncompressed, *mask.shape) == to_rle(encode(mask), *mask.shape)


polygons = st.lists(
    st.lists(st.floats(0, 32, allow_nan=False), min_size=6, max_size=16).filter(lambda p: len(p) % 2 == 0),
    min_size=1,
    max_size=3,
)


@given(polygons)
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_polygons_are_filled_as_the_coco_api_fills_them(several: list[list[float]]) -> None:
    expected = np.zeros((24, 32), bool)
    for polygon in several:
        expected |= mask_api.decode(mask_api.frPyObjects([polygon], 24, 32)[0]).astype(bool)

    assert np.array_equal(decode(several, 24, 32), expected)


def test_a_rectangle_as_polygon() -> None:
    assert np.array_equal(decode([[4, 3, 10, 3, 10, 9, 4, 9]], 24, 32), square(3, 4, 6))


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 4)))
def test_regions_are_encoded_as_their_masks(ids: np.ndarray) -> None:
    regions = encode_regions(ids)

    assert list(regions) == np.unique(ids).tolist()
    assert all(rle == encode(ids == value) for value, rle in regions.items())


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [24, 32], "counts": [700]}, "they make 700"),
        ({"size": [24, 32], "counts": [800, -32]}, "must not be negative"),
        ({"size": [24, 32], "counts": [768.0]}, "whole numbers"),
        ({"size": [24, 32], "counts": "PP"}, "no compressed run lengths"),
        ({"size": [24, 32], "counts": "00"}, "they make 0"),
        ({"size": [24, 32], "counts": "é"}, "characters"),
        ({"size": [32, 24], "counts": [768]}, r"expected its image's \[height, width\], \[24, 32\]"),
        ({"counts": [768]}, "'size' and 'counts'"),
        ([], "empty list"),
        ([[1, 2, 3, 4]], "three or more points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "three or more points"),
        ([[1, 2, 3, 4, 5, float("nan")]], "finite"),
        ([[1, 2, 3, 4, 5, "6"]], "finite"),
        ("768", "neither"),
    ],
)
def test_malformed_segmentations_are_refused(segmentation: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode(segmentation, 24, 32)  # type: ignore[arg-type]


@pytest.mark.parametrize(("old", "new"), [((24, 32), (12, 16)), ((17, 23), (9, 40)), ((5, 6), (13, 7))])
def test_masks_are_resized_as_torch_resizes(old: tuple[int, int], new: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(old) < 0.5

    expected = F.interpolate(torch.from_numpy(mask)[None, None].float(), size=new, mode="nearest-exact")[0, 0] > 0
    assert np.array_equal(resize_mask(mask, *new), expected.numpy())


def test_resized_ground_truth() -> None:
    truth = read_ground_truth(ground_truth())
    truth["images"][0]["void"] = encode(square(0, 0, 4))

    small = resized(truth, 12, 16)

    assert read_ground_truth(small) == small
    assert [(image["height"], image["width"]) for image in small["images"]] == [(12, 16)] * 3
    assert small["annotations"][0]["bbox"] == [1, 1, 4, 4]
    assert small["annotations"][0]["area"] == 16
    assert np.array_equal(decode(small["annotations"][3]["segmentation"], 12, 16), square(6, 10, 3, 12, 16))
    assert np.array_equal(decode(small["images"][0]["void"], 12, 16), square(0, 0, 2, 12, 16))
    assert truth["images"][0]["height"] == 24


def test_objects_that_vanish_are_left_out() -> None:
    truth = read_ground_truth(ground_truth())

    tiny = resized(truth, 1, 1)  # of each mask, whether it holds the pixel in row 12 and column 16

    assert tiny["annotations"] == []
    assert len(tiny["images"]) == 3


def test_the_same_size_changes_no_mask() -> None:
    truth = read_ground_truth(ground_truth())

    assert resized(truth, 24, 32) == truth
