from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="detectron2 is not installed; see the detectron2 extra")
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from detectron2.data.detection_utils import build_augmentation

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.detectron2.schedule import DetectronSchedule

pytestmark = pytest.mark.detectron2

SGD = {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001}


def read(**options: Any) -> DetectronSchedule:
    return DetectronSchedule.read({"iterations": 10, "batch_size": 2, "optimizer": SGD, **options})


def views(schedule: DetectronSchedule, size: tuple[int, int] | None, image: np.ndarray, draws: int) -> set[Any]:
    shapes = set()
    for seed in range(draws):
        np.random.seed(seed)  # noqa: NPY002
        given = T.AugInput(image)
        T.AugmentationList(schedule.train_augmentations(size))(given)
        shapes.add(given.image.shape[:2])
    return shapes


IMAGE = np.zeros((40, 80, 3), np.uint8)


@pytest.fixture(autouse=True)
def _generators_as_found() -> Any:
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    random.setstate(python)
    np.random.set_state(legacy)  # noqa: NPY002


def test_defaults_leave_the_size() -> None:
    assert views(read(), None, IMAGE, 4) == {(40, 80)}
    assert read().val_augmentations(None) == []


def test_one_of_the_short_sides() -> None:
    schedule = read(short_side=[20, 30, 40], long_side=70)

    assert views(schedule, None, IMAGE, 30) == {(20, 40), (30, 60), (35, 70)}
    assert views(read(short_side=20), None, IMAGE, 2) == {(20, 40)}


def test_size_comes_first() -> None:
    assert views(read(), (16, 32), IMAGE, 2) == {(16, 32)}
    assert views(read(short_side=[20]), (16, 32), IMAGE, 2) == {(20, 40)}


def test_scale_and_crop() -> None:
    shapes = views(read(scale=[0.5, 1.5], crop=[30, 30]), None, IMAGE, 30)

    assert len(shapes) > 5
    assert all(20 <= height <= 30 and width == 30 for height, width in shapes)


def test_validation_size() -> None:
    schedule = read(val_short_side=20, val_long_side=30)
    given = T.AugInput(IMAGE)
    T.AugmentationList(schedule.val_augmentations(None))(given)

    assert given.image.shape[:2] == (15, 30)


def test_the_paper_s_augmentation_is_detectron2_s() -> None:
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TRAIN = sides = tuple(range(800, 1025, 32))
    cfg.INPUT.MAX_SIZE_TRAIN = cfg.INPUT.MAX_SIZE_TEST = 2048
    cfg.INPUT.MIN_SIZE_TEST = 1024
    schedule = read(short_side=sides, long_side=2048, val_short_side=1024, val_long_side=2048)

    assert repr(schedule.train_augmentations(None)) == repr(build_augmentation(cfg, is_train=True))
    assert repr(schedule.val_augmentations(None)) == repr(build_augmentation(cfg, is_train=False))


def test_the_paper_s_course_is_detectron2_s() -> None:
    import torch
    from detectron2.solver import build_lr_scheduler

    cfg = get_cfg()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.WARMUP_ITERS = 120, (90,), 20
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    course = build_lr_scheduler(cfg, optimizer)
    schedule = read(iterations=120, milestones=[90], warmup=20)
    for step in range(120):
        assert schedule.factor(step) == pytest.approx(optimizer.param_groups[0]["lr"]), step
        optimizer.step()
        course.step()


def test_flip_and_jitter_are_options() -> None:
    kinds = [type(view).__name__ for view in read(jitter=True).train_augmentations(None)]
    assert kinds == ["RandomFlip", "RandomBrightness", "RandomSaturation", "RandomContrast"]
    assert read(flip=False).train_augmentations(None) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"short_sides": [3]}, "did you mean 'short_side'"),
        ({"short_side": [0]}, r"schedule\.short_side is \(0,\)"),
        ({"long_side": 1.5}, r"schedule\.long_side is 1\.5"),
        ({"val_short_side": -1}, r"schedule\.val_short_side is -1"),
        ({"optimizer": {"type": "SDG"}}, "did you mean 'SGD'"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(**options)
