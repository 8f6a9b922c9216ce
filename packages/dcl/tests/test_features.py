"""Sampling pixels of RoI features, and their t-SNE."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contrastbench.core.errors import InputError
from contrastbench.dcl.features import sample_pixels, tsne_picture

pytest.importorskip("sklearn", reason="scikit-learn is not installed: no feature pictures")


@given(st.integers(0, 5), st.integers(1, 6), st.integers(0, 20), st.integers(0, 2**31))
def test_pixels_are_drawn_once_half_of_each_side(n: int, size: int, per_roi: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(n, size, size, generator=generator) < torch.rand(n, 1, 1, generator=generator)
    # a pixel's features say where it is
    features = torch.arange(n * size * size).reshape(n, 1, size, size).expand(-1, 3, -1, -1)
    drawn, foreground = sample_pixels(features, masks, per_roi, generator)
    assert drawn.shape == (len(foreground), 3)
    assert foreground.dtype == torch.bool
    places = drawn[:, 0]
    assert len(places.unique()) == len(places)
    assert torch.equal(masks.flatten()[places], foreground)
    assert torch.equal(drawn, places[:, None].expand(-1, 3))
    for roi in range(n):
        here = foreground[places // size**2 == roi]
        area = int(masks[roi].sum())
        assert int(here.sum()) == min(area, (per_roi + 1) // 2)
        assert int((~here).sum()) == min(size**2 - area, per_roi // 2)


def test_every_pixel_can_be_drawn_and_the_seed_decides() -> None:
    features, masks = torch.arange(16.0).reshape(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, :2] = True
    draws = [sample_pixels(features, masks, 2, torch.Generator().manual_seed(s))[0].flatten() for s in range(150)]
    assert set(torch.cat(draws).tolist()) == set(range(16))
    again = sample_pixels(features, masks, 2, torch.Generator().manual_seed(7))[0].flatten()
    assert torch.equal(draws[7], again)


def planted(distance: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two clouds in 16 dimensions that far apart."""
    generator = torch.Generator().manual_seed(seed)
    foreground = torch.arange(120) % 2 == 0
    features = torch.randn(120, 16, generator=generator)
    features[:, 0] += distance * (foreground.float() - 0.5)
    return features, foreground


def neighbours_of_own_side(points: np.ndarray, foreground: torch.Tensor) -> float:
    """Share of points whose nearest other point is of their side."""
    distance = ((points[:, None] - points[None]) ** 2).sum(2)
    np.fill_diagonal(distance, np.inf)
    side = foreground.numpy()
    return float((side[distance.argmin(1)] == side).mean())


def test_planted_clusters_are_seen_and_mixed_ones_are_not(tmp_path: Path) -> None:
    panels = {"baseline": planted(0.0, 0), "DCL": planted(16.0, 1)}
    path = tmp_path / "features.png"
    embeddings = tsne_picture(panels, path, seed=0, perplexity=20)
    assert list(embeddings) == ["baseline", "DCL"]
    assert embeddings["DCL"].shape == (120, 2)
    assert neighbours_of_own_side(embeddings["DCL"], panels["DCL"][1]) > 0.97
    assert 0.3 < neighbours_of_own_side(embeddings["baseline"], panels["baseline"][1]) < 0.7
    with Image.open(path) as picture:
        assert picture.width > 1.2 * picture.height


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    panels = {"DCL": planted(4.0, 2)}
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path in paths:
        tsne_picture(panels, path, seed=3, perplexity=10)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("features", "foreground", "message"),
    [
        (torch.zeros(40, 3), torch.zeros(40, dtype=torch.bool), "all of one side"),
        (torch.full((40, 3), torch.nan), torch.arange(40) % 2 == 0, "not finite"),
        (torch.zeros(10, 3), torch.arange(10) % 2 == 0, "too few for a perplexity of 30"),
        (torch.zeros(40, 3), torch.arange(39) % 2 == 0, r"\[40, 3\] and their sides \[39\]"),
    ],
)
def test_features_that_cannot_be_drawn(features, foreground, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        tsne_picture({"baseline": (features, foreground)}, tmp_path / "features.png", seed=0)
    assert not list(tmp_path.iterdir())


def test_a_picture_needs_a_panel_and_a_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no panel"):
        tsne_picture({}, tmp_path / "features.png", seed=0)
    with pytest.raises(InputError, match="suffix names no picture format"):
        tsne_picture({"DCL": planted(1.0, 0)}, tmp_path / "features", seed=0)
