from __future__ import annotations

import random
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_data import write_camvid, write_cityscapes

pytest.importorskip("mmseg", reason="needs the mmseg extra")
from contrastbench.core.data.sources import camvid, cityscapes
from contrastbench.core.hosts.mmseg.dataset import SourceDataset
from contrastbench.core.hosts.mmseg.schedule import SegmentorSchedule
from contrastbench.core.hosts.stream import Seeded, Stream

pytestmark = pytest.mark.usefixtures("_mmseg_scope")


def augmented(root: Path) -> SourceDataset:
    schedule = SegmentorSchedule.read({"iterations": 1, "batch_size": 1, "optimizer": {"type": "SGD", "lr": 0.1}})
    return SourceDataset(camvid(root), "train", (24, 32), schedule.pipeline((24, 32)))


def test_samples_carry_their_place(tmp_path: Path) -> None:
    dataset = augmented(write_camvid(tmp_path))

    assert [dataset[i]["data_samples"].metainfo["sample_idx"] for i in range(len(dataset))] == [0, 1, 2, 3]


def test_label_maps_are_translated_and_images_blue_first(tmp_path: Path) -> None:
    from PIL import Image

    root = write_cityscapes(tmp_path)
    image = np.zeros((16, 32, 3), np.uint8)
    image[..., 0] = 200  # red
    Image.fromarray(image).save(root / "leftImg8bit/train/town/town_000000_000019_leftImg8bit.png")
    dataset = SourceDataset(cityscapes(root), "train", pipeline=[{"type": "PackSegInputs"}])

    sample = dataset[0]

    raw = np.arange(16 * 32).reshape(16, 32) % 34
    labels = sample["data_samples"].gt_sem_seg.data[0].numpy()
    assert set(labels[raw == 7]) == {0}
    assert set(labels[raw == 33]) == {18}
    assert set(labels[raw == 9]) == {255}
    assert sample["inputs"][:, 0, 0].tolist() == [0, 0, 200]


def test_size_brings_labels_by_nearest_pixel(tmp_path: Path) -> None:
    source = camvid(write_camvid(tmp_path))
    whole = SourceDataset(source, "val", pipeline=[{"type": "PackSegInputs"}])[0]["data_samples"].gt_sem_seg.data
    small = SourceDataset(source, "val", (12, 16), [{"type": "PackSegInputs"}])[0]

    # stripes are 8 wide, then 4; and no id lies between two others
    assert torch.equal(small["data_samples"].gt_sem_seg.data, whole[:, ::2, ::2])
    assert small["inputs"].shape == (3, 12, 16)
    assert small["data_samples"].metainfo["ori_shape"] == (12, 16)


def test_transforms_cannot_spoil_what_is_kept(tmp_path: Path) -> None:
    def blacken(results: dict[str, Any]) -> dict[str, Any]:
        before = results["img"].copy()
        results["img"][:] = 0
        results["gt_seg_map"][:] = 3
        return results | {"before": before}

    dataset = SourceDataset(camvid(write_camvid(tmp_path)), "train", pipeline=[blacken])

    first, second = dataset[1], dataset[1]
    assert np.array_equal(first["before"], second["before"])
    assert second["before"].any()


def test_a_ticket_alone_decides_its_sample(tmp_path: Path) -> None:
    root = write_camvid(tmp_path)
    first, second = Seeded(augmented(root), seed=3), Seeded(augmented(root), seed=3)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002

    forwards = [first[(place, place % 4)]["inputs"] for place in range(6)]
    backwards = [second[(place, place % 4)]["inputs"] for place in reversed(range(6))][::-1]

    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    # the same image at two places is augmented in two ways, and under another seed in a third
    assert not torch.equal(first[(0, 0)]["inputs"], first[(4, 0)]["inputs"])
    assert not torch.equal(first[(0, 0)]["inputs"], Seeded(augmented(root), seed=4)[(0, 0)]["inputs"])


def test_global_generators_are_left_as_found(tmp_path: Path) -> None:
    dataset = Seeded(augmented(write_camvid(tmp_path)), seed=3)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002

    dataset[(0, 0)]

    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_each_epoch_holds_each_image_once_in_an_order_of_its_own() -> None:
    tickets = list(Stream(images=7, batch_size=4, iterations=7, seed=5))

    assert [position for position, _ in tickets] == list(range(28))
    epochs = [[index for _, index in tickets[7 * e : 7 * e + 7]] for e in range(4)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


@pytest.mark.parametrize("start", [1, 3, 6])
def test_a_stream_can_begin_anywhere(start: int) -> None:
    whole, rest = (Stream(images=5, batch_size=3, iterations=7, seed=5) for _ in range(2))
    rest.start = start

    assert list(rest) == list(islice(whole, 3 * start, None))
    assert len(rest) == 3 * (7 - start)


def test_ranks_share_each_global_batch() -> None:
    joint = list(Stream(images=5, batch_size=6, iterations=4, seed=5))
    ranks = [list(Stream(5, 6, 4, 5, rank, 2)) for rank in range(2)]

    shared = [ranks[rank][3 * step + i] for step in range(4) for rank in range(2) for i in range(3)]
    assert shared == joint


def test_registered_by_name(tmp_path: Path) -> None:
    from mmseg.registry import DATASETS

    write_camvid(tmp_path)
    dataset = DATASETS.build(
        {"type": "SourceDataset", "source": {"name": "camvid", "root": str(tmp_path)}, "split": "val", "pipeline": []}
    )

    assert len(dataset) == 2
    assert dataset.metainfo["classes"][0] == "sky"


def test_a_factor_on_the_own_size_is_one_on_a_size_that_all_share(tmp_path: Path) -> None:
    root = write_camvid(tmp_path)
    schedule = SegmentorSchedule.read({"iterations": 1, "batch_size": 1, "optimizer": {"type": "SGD", "lr": 0.1}})
    shared, own = (
        Seeded(SourceDataset(camvid(root), "train", None, schedule.pipeline((24, 32), own_sizes)), seed=0)
        for own_sizes in (False, True)
    )

    for ticket in [(0, 0), (1, 3), (2, 1)]:
        assert torch.equal(shared[ticket]["inputs"], own[ticket]["inputs"])


def test_images_of_different_sizes_are_resized_by_a_factor(tmp_path: Path) -> None:
    from PIL import Image

    root = write_camvid(tmp_path)
    for part, shape in (("train", (3,)), ("trainannot", ())):
        Image.fromarray(np.zeros((96, 64, *shape), np.uint8)).save(root / part / "0001.png")
    options = {"iterations": 1, "batch_size": 1, "optimizer": {"type": "SGD", "lr": 0.1}, "scale": [0.5, 0.5]}
    pipeline = SegmentorSchedule.read({**options, "crop": [512, 512]}).pipeline((24, 32), own_sizes=True)
    dataset = SourceDataset(camvid(root), "train", None, pipeline)

    assert [tuple(dataset[i]["inputs"].shape[1:]) for i in (0, 1, 2)] == [(12, 16), (48, 32), (12, 16)]
