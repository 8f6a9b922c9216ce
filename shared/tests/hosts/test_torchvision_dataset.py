from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torchvision", reason="needs the torchvision extra")
from PIL import Image
from small_instances import write_shapes

from contrastbench.core.data.coco import encode
from contrastbench.core.data.instances import open_instances
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.stream import Seeded
from contrastbench.core.hosts.torchvision import dataset
from contrastbench.core.hosts.torchvision.augment import Augmentation
from contrastbench.core.hosts.torchvision.dataset import Instances, Pictures, boxes_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_shapes(tmp_path / "shapes")


def pictures(root: Path, split: str = "train", size: tuple[int, int] | None = None) -> Pictures:
    return Pictures(open_instances({"name": "folder", "root": str(root)}), split, size)


def annotated(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "instances.json").read_text())
    return content


def rewrite(root: Path, content: dict[str, Any]) -> None:
    (root / "instances.json").write_text(json.dumps(content))


def test_samples_are_what_torchvision_takes(root: Path) -> None:
    data = Instances(pictures(root))

    image, target = data[0]

    assert image.dtype == torch.float32
    assert image.shape == (3, 48, 64)
    assert 0 <= image.min() < image.max() <= 1
    assert target["masks"].dtype == torch.uint8
    assert target["masks"].shape == (2, 48, 64)
    assert target["labels"].dtype == torch.int64
    for mask, label in zip(target["masks"].bool(), target["labels"], strict=True):
        assert image[0][mask].min() > 0.9
        assert (image[1][mask].max() < 0.2) == (label == 1)  # the red disc has the lower id, so the first label
    assert image[:, ~target["masks"].bool().any(0)].max() < 0.3


def test_boxes_are_those_of_the_annotations(root: Path) -> None:
    data = Instances(pictures(root))
    boxes = {a["id"]: a["bbox"] for a in annotated(root)["annotations"]}
    of_image = {i["id"]: [boxes[a["id"]] for a in annotated(root)["annotations"] if a["image_id"] == i["id"]]
                for i in annotated(root)["images"]}  # fmt: skip

    for index, image in enumerate(data.pictures.images):
        left, top, right, bottom = data[index][1]["boxes"].T
        found = torch.stack([left, top, right - left, bottom - top], 1)
        assert torch.equal(found, torch.tensor(of_image[image["id"]], dtype=torch.float32).reshape(-1, 4))


@given(st.integers(0, 2**32 - 1))
def test_boxes_of_masks(seed: int) -> None:
    masks = np.random.default_rng(seed).random((4, 5, 7)) < 0.15
    masks[:, 2, 3] = True
    for mask, box in zip(masks, boxes_of(masks), strict=True):
        rows, columns = mask.nonzero()
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_images_without_instances_are_samples(root: Path) -> None:
    data = Instances(pictures(root))
    empty = [index for index, image in enumerate(data.pictures.images) if not data[index][1]["labels"].numel()]

    assert empty
    target = data[empty[0]][1]
    assert {name: tuple(value.shape) for name, value in target.items()} == {
        "boxes": (0, 4),
        "labels": (0,),
        "masks": (0, 48, 64),
    }


def test_crowds_are_no_targets(root: Path) -> None:
    content = annotated(root)
    content["annotations"][0]["iscrowd"] = 1
    rewrite(root, content)
    data = Instances(pictures(root))

    assert len(data[0][1]["labels"]) == 1


def test_size_brings_images_and_masks_along(root: Path) -> None:
    plain, half = Instances(pictures(root)), Instances(pictures(root, size=(24, 32)))

    image, target = half[0]

    assert image.shape == (3, 24, 32)
    assert target["masks"].shape[1:] == (24, 32)
    torch.testing.assert_close(target["boxes"], plain[0][1]["boxes"] / 2, rtol=0, atol=0.51)
    assert image[0][target["masks"][0].bool()].mean() > 0.8


def test_large_sets_are_decoded_each_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Instances(pictures(root))
    monkeypatch.setattr(dataset, "MEMORY", 0)
    data = Instances(pictures(root))
    reads = list[int]()
    read = data.pictures.read
    monkeypatch.setattr(data.pictures, "read", lambda index: reads.append(index) or read(index))

    for _ in range(2):
        assert torch.equal(data[1][0], kept[1][0])
        assert all(torch.equal(value, kept[1][1][name]) for name, value in data[1][1].items())
    assert reads == [1, 1, 1, 1]


def test_small_sets_are_decoded_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Instances(pictures(root), Augmentation(crop=(20, 20), jitter=True))
    first = Instances(data.pictures)[1][0]
    for _ in range(3):
        data[1]
    monkeypatch.setattr(data.pictures, "read", None)
    data.augmentation = None

    assert torch.equal(data[1][0], first)  # and views do not write into what is kept


def test_an_image_of_another_size_is_explained(root: Path) -> None:
    Image.fromarray(np.zeros((10, 12, 3), np.uint8)).save(root / "images" / "0000.png")

    with pytest.raises(InputError, match=r"0000.png' is 10x12 and its annotations say 48x64"):
        pictures(root)[0]


def test_a_broken_image_is_explained(root: Path) -> None:
    (root / "images" / "0000.png").write_bytes(b"\x89PNG")

    with pytest.raises(InputError, match=r"0000\.png"):
        pictures(root)[0]


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    crop=st.none() | st.tuples(st.integers(4, 70), st.integers(4, 70)),
    smallest=st.floats(0.4, 1.5),
    flip=st.booleans(),
)
def test_views_keep_masks_on_their_objects(
    seed: int, shape: tuple[int, int], crop: tuple[int, int] | None, smallest: float, flip: bool
) -> None:
    generator = np.random.default_rng(seed)
    masks = np.zeros((2, *shape), bool)
    for mask in masks:
        top, left = generator.integers(0, shape[0]), generator.integers(0, shape[1])
        mask[top : top + 12, left : left + 12] = True
    image = np.zeros((*shape, 3), np.uint8)
    image[masks[0], 0] = image[masks[1], 1] = 255
    random.seed(seed)

    view, cut = Augmentation(crop, (smallest, 1.5), flip)(image, masks)

    assert view.dtype == np.uint8
    assert cut.dtype == bool
    assert cut.shape[1:] == view.shape[:2]
    if crop is not None:
        assert view.shape[0] <= crop[0]
        assert view.shape[1] <= crop[1]
    else:
        assert shape[0] * smallest - 1 <= view.shape[0] <= shape[0] * 1.5 + 1
    for channel, mask in enumerate(cut):
        # Edges of the image are blurred where the mask's are not.
        apart = (view[..., channel] >= 128) != mask
        edge = (
            np.abs(np.diff(np.pad(mask.astype(int), 2, "edge"), axis=0)).sum()
            + np.abs(np.diff(np.pad(mask.astype(int), 2, "edge"), axis=1)).sum()
        )
        assert apart.sum() <= edge


def test_a_view_without_options_is_the_image(generator: torch.Generator) -> None:
    image = torch.randint(0, 256, (9, 11, 3), generator=generator, dtype=torch.uint8).numpy()
    masks = np.ones((1, 9, 11), bool)

    view, cut = Augmentation(flip=False)(image, masks)

    assert np.array_equal(view, image)
    assert np.array_equal(cut, masks)


def test_jitter_changes_colours_and_nothing_else(generator: torch.Generator) -> None:
    image = torch.randint(60, 200, (9, 11, 3), generator=generator, dtype=torch.uint8).numpy()
    masks = np.eye(9, 11, dtype=bool)[None]
    random.seed(0)
    views = [Augmentation(flip=False, jitter=True)(image, masks) for _ in range(8)]

    assert all(np.array_equal(cut, masks) for _, cut in views)
    means = [view.mean() for view, _ in views]
    assert max(means) > image.mean() * 1.05
    assert min(means) < image.mean() * 0.95
    grey = np.full((4, 4, 3), 120, np.uint8)
    view, _ = Augmentation(flip=False, jitter=True)(grey, np.zeros((0, 4, 4), bool))
    assert np.ptp(view) <= 1  # one grey is another grey


def test_instances_that_a_crop_leaves_out_are_dropped(root: Path) -> None:
    content = annotated(root)
    corner = np.zeros((48, 64), bool)
    corner[:12, :12] = True
    for annotation in content["annotations"]:
        annotation |= {"segmentation": encode(corner), "bbox": [0, 0, 12, 12], "area": 144}
    rewrite(root, content)
    data = Instances(pictures(root), Augmentation(crop=(10, 10)))
    random.seed(0)

    counts = {len(data[0][1]["labels"]) for _ in range(60)}

    assert counts == {0, 2}


def test_a_sample_is_a_function_of_seed_and_place(root: Path) -> None:
    data = Instances(pictures(root), Augmentation((20, 24), (0.5, 2.0), True, True))
    first = Seeded(data, 3)[5, 1]
    random.random()
    again, elsewhere = Seeded(data, 3)[5, 1], Seeded(data, 3)[6, 1]

    assert torch.equal(first[0], again[0])
    assert all(torch.equal(value, again[1][name]) for name, value in first[1].items())
    assert first[0].shape != elsewhere[0].shape or not torch.equal(first[0], elsewhere[0])
