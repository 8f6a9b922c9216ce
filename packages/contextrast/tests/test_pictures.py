import numpy as np
import pytest
import torch

from contrastbench.contextrast.pictures import bane_picture
from contrastbench.core.errors import InputError

pytest.importorskip("matplotlib", reason="matplotlib is not installed; pip install './packages/contextrast[pictures]'")

SIZE = (48, 96)


def scene() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """A block of class 1, a band that is ignored; a network that first misses much of the block, then little."""
    labels = np.zeros(SIZE, np.int64)
    labels[12:36, 20:60] = 1
    labels[44:] = 255
    before, after = labels.copy(), labels.copy()
    before[16:36, 24:52] = 2
    after[32:36, 20:40] = 0
    image = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    return image, labels, {"before": before, "after": after}


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_it_writes_a_picture_and_says_what_it_shows(ending, tmp_path):
    image, labels, stages = scene()
    path = tmp_path / f"picture.{ending}"
    found = bane_picture(image, labels, stages, path, classes=("street", "car", "bus"), palette=[(128, 64, 128)])
    assert path.read_bytes()[:4] == (b"\x89PNG" if ending == "png" else b"%PDF")
    # at stride 4: 11 x 24 pixels count, of which 5 x 7 and then 1 x 5 are wrong
    assert found["before"].errors == pytest.approx(100 * 35 / 264)
    assert found["before"].chosen == pytest.approx(100 * 18 / 264)
    assert found["before"].mean_distance == pytest.approx((20 * 1 + 12 * 2 + 3 * 3) / 35)
    assert found["after"].errors == pytest.approx(100 * 5 / 264)
    assert found["after"].mean_distance == 1


def test_the_negatives_of_one_anchor_are_errors_of_others(tmp_path):
    image, labels, stages = scene()
    of_its_own = bane_picture(image, labels, stages, tmp_path / "1.png", anchor=1)
    assert of_its_own["before"].chosen == 0
    of_another = bane_picture(image, labels, stages, tmp_path / "0.png", anchor=0)
    assert of_another["before"].chosen > 0


def test_it_takes_tensors_and_a_perfect_or_hopeless_prediction(tmp_path):
    image, labels, _ = scene()
    stages = {"right": torch.from_numpy(labels), "hopeless": torch.full(SIZE, 3)}
    found = bane_picture(torch.from_numpy(image), torch.from_numpy(labels), stages, tmp_path / "p.png", stride=1)
    assert (found["right"].errors, found["right"].mean_distance) == (0, 0)
    assert found["hopeless"].errors == 100
    everywhere = bane_picture(image, np.zeros(SIZE, np.int64), {"x": np.ones(SIZE, np.int64)}, tmp_path / "q.png")
    assert (everywhere["x"].errors, everywhere["x"].mean_distance) == (100, 0)  # no edge


def test_bad_input_is_named(tmp_path):
    image, labels, stages = scene()
    path = tmp_path / "p.png"
    with pytest.raises(InputError, match="expected uint8"):
        bane_picture(image[..., 0], labels, stages, path)
    with pytest.raises(InputError, match="stage 'before' is"):
        bane_picture(image, labels, {"before": stages["before"][::2]}, path)
    with pytest.raises(InputError, match="no stage"):
        bane_picture(image, labels, {}, path)
    with pytest.raises(InputError, match="stride is 0"):
        bane_picture(image, labels, stages, path, stride=0)
    with pytest.raises(InputError, match=r"anchor 7 is not in the image at stride 4; there are \[0, 1\]"):
        bane_picture(image, labels, stages, path, anchor=7)
