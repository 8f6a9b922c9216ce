import math

import numpy as np
import pytest
import torch

from contrastbench.core.errors import InputError
from contrastbench.longtail.geometry.ball import distance, expmap0
from contrastbench.longtail.pictures import Discovered, contact_sheet, crop_around, disc_picture, marked, to_disc

pytest.importorskip("matplotlib", reason="matplotlib is not installed; pip install './packages/longtail[discovery]'")

MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xm"}


def photo(seed: int = 0, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)


def disc_mask(row: int, column: int, radius: int, height: int = 40, width: int = 60) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def clusters() -> list[Discovered]:
    shown = [crop_around(photo(i), disc_mask(8 + 3 * i, 20 + 4 * i, 6 + i)) for i in range(5)]
    crops, masks = zip(*shown, strict=True)
    return [
        Discovered("traffic_light_(signal)", crops, masks, members=1234),
        Discovered(None, crops[:1], masks[:1]),
        Discovered("cup", crops[2:4], masks[2:4]),
    ]


def tree() -> tuple[torch.Tensor, list[str | None], list[tuple[int, int]]]:
    """Three parents near the origin, four children each further out; one child lies within."""
    generator = torch.Generator().manual_seed(0)
    angles = torch.tensor([0.3, 2.4, 4.5], dtype=torch.float64)
    parents = 0.4 * torch.stack([angles.cos(), angles.sin()], 1)
    children = 4.2 * parents.repeat_interleave(4, 0) + 0.25 * torch.randn(12, 2, generator=generator).double()
    children[5] = 0.1 * parents[1]
    labels: list[str | None] = ["car", "person", None, *["wheel"] * 4, *["head"] * 4, *[None] * 4]
    return expmap0(torch.cat([parents, children])), labels, [(i // 4, 3 + i) for i in range(12)]


@pytest.mark.parametrize("ending", MAGIC)
def test_the_same_input_gives_the_same_bytes(ending, tmp_path):
    points, labels, edges = tree()
    for name in ("a", "b"):
        contact_sheet(clusters(), tmp_path / f"sheet-{name}.{ending}")
        disc_picture(points, labels, tmp_path / f"disc-{name}.{ending}", edges=edges, thumbnails={0: photo()})
    for kind in ("sheet", "disc"):
        first, second = ((tmp_path / f"{kind}-{name}.{ending}").read_bytes() for name in ("a", "b"))
        assert first == second
        assert first[:4] == MAGIC[ending]


def test_labels_and_novel_clusters_are_named(tmp_path):
    contact_sheet(clusters(), tmp_path / "sheet.svg")
    text = (tmp_path / "sheet.svg").read_text()
    assert all(f"<!-- {words} -->" in text for words in ("traffic light", "(signal)", "novel", "cup", "1,234 masks"))
    assert "<!-- 1 mask -->" in text
    contact_sheet(clusters()[:1], tmp_path / "two.svg", columns=2)
    assert (tmp_path / "two.svg").read_text().count("<image") == 2


def test_a_crop_holds_the_whole_mask_in_a_square():
    image, mask = photo(), disc_mask(20, 30, 7)
    crop, cut = crop_around(image, mask)
    assert crop.shape == (21, 21, 3)  # 15 and 3 on each side
    assert cut.sum() == mask.sum()
    assert (crop[cut] == image[mask]).all()
    assert (crop == image[10:31, 20:41]).all()


def test_a_crop_beyond_the_image_is_white_there():
    image, mask = photo(), disc_mask(2, 57, 5)
    crop, cut = crop_around(image, mask)
    assert crop.shape == (*cut.shape, 3)
    assert cut.shape[0] == cut.shape[1]
    assert (crop[cut] == image[mask]).all()
    assert (crop[0] == 255).all()
    assert (crop[:, -1] == 255).all()


def test_a_mask_keeps_its_colours_and_gets_a_border():
    crop, mask = crop_around(photo(), disc_mask(20, 30, 7))
    shown = marked(crop, mask)
    assert (shown[mask] == crop[mask]).all()
    red = (shown == (214, 39, 40)).all(-1)
    assert red.any()
    assert not (red & mask).any()
    assert (shown[~mask & ~red] >= 160).all()


def test_the_share_of_children_further_out_is_returned_and_told(tmp_path):
    points, labels, edges = tree()
    assert disc_picture(points, labels, tmp_path / "disc.svg", edges=edges) == pytest.approx(11 / 12)
    text = (tmp_path / "disc.svg").read_text()
    assert "92 % of 12 children are further from the origin than their parents" in text
    assert all(f"<!-- {name} -->" in text for name in ("wheel (4)", "head (4)", "car (1)", "novel (5)"))
    assert "principal axes" not in text
    assert disc_picture(points, labels, tmp_path / "plain.svg") is None
    assert "further from" not in (tmp_path / "plain.svg").read_text()


def test_rare_categories_share_a_colour(tmp_path):
    points = expmap0(torch.randn(40, 2, generator=torch.Generator().manual_seed(1)))
    labels = [f"kind {i % 12}" if i < 36 else f"rare {i}" for i in range(40)]
    disc_picture(points, labels, tmp_path / "disc.svg")
    text = (tmp_path / "disc.svg").read_text()
    assert "<!-- other (4) -->" in text
    assert "<!-- kind 11 (3) -->" in text


@pytest.mark.parametrize("c", [1.0, 0.25])
def test_a_ball_of_more_dimensions_keeps_its_distances_to_the_origin(c, tmp_path):
    generator = torch.Generator().manual_seed(3)
    points = expmap0(torch.randn(20, 8, generator=generator) * torch.tensor([2.0, 1.0, *[0.1] * 6]), c)
    disc = to_disc(points, c)
    origin = torch.zeros(2, dtype=torch.float64)
    expected = math.sqrt(c) * distance(points, torch.zeros(8), c)
    torch.testing.assert_close(distance(disc, origin), expected)
    # the two wide axes are those that are seen, however they are turned
    seen, wide = torch.nn.functional.normalize(disc), torch.nn.functional.normalize(points[:, :2])
    assert (seen @ seen.T - wide @ wide.T).abs().mean() < 0.05
    disc_picture(points, [None] * 20, tmp_path / "disc.svg", c=c)
    assert "from 8 dimensions: directions by principal axes" in (tmp_path / "disc.svg").read_text()


def test_points_of_the_disc_stay_where_they_are():
    points = tree()[0]
    assert to_disc(points).equal(points)
    assert to_disc(0.5 * points, c=4.0).allclose(points)
    lone = to_disc(torch.tensor([[0.0, 0.5, 0.0]]))
    assert lone.abs().tolist() == [[0.5, 0.0]]
    assert to_disc(torch.zeros(3, 5)).tolist() == [[0.0, 0.0]] * 3


def test_bad_input_is_named(tmp_path):
    points, labels, edges = tree()
    path = tmp_path / "p.png"
    whole = clusters()
    with pytest.raises(InputError, match="no cluster to draw"):
        contact_sheet([], path)
    with pytest.raises(InputError, match="cluster 1 has 0 crops and 0 masks"):
        contact_sheet([whole[0], Discovered("cup", [], [])], path)
    with pytest.raises(InputError, match="cluster 0 has a crop uint8"):
        contact_sheet([Discovered("cup", whole[0].crops[:1], [whole[0].masks[0][1:]])], path)
    with pytest.raises(InputError, match="names no picture format"):
        contact_sheet(whole, tmp_path / "p.picture")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        contact_sheet(whole, tmp_path / "file" / "p.png")
    with pytest.raises(InputError, match="2 labels for 15 points"):
        disc_picture(points, labels[:2], path)
    with pytest.raises(InputError, match="names point 15; there are 15 points"):
        disc_picture(points, labels, path, edges=[*edges, (0, 15)])
    with pytest.raises(InputError, match="names point -1"):
        disc_picture(points, labels, path, thumbnails={-1: photo()})
    with pytest.raises(InputError, match="outside the ball"):
        disc_picture(points * 2, labels, path)
    with pytest.raises(InputError, match="D of 2 or more"):
        to_disc(points[:, :1])
    with pytest.raises(InputError, match="the mask is empty"):
        crop_around(photo(), np.zeros((40, 60), bool))
    with pytest.raises(InputError, match="expected"):
        crop_around(photo(), disc_mask(1, 1, 3)[1:])
