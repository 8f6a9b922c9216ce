"""A user's own mmsegmentation project: a plain configuration, mmengine's own runner."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import write_camvid
from small_networks import hrnet, mmseg_model

pytest.importorskip("mmseg", reason="needs the mmseg extra")
from mmengine import Config
from mmengine.runner import Runner

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg import exported_state

# All of these are mmengine's and mmsegmentation's about themselves.
pytestmark = [
    pytest.mark.usefixtures("_mmseg_scope"),
    pytest.mark.filterwarnings("ignore:.*build_loss.* would be deprecated"),
    pytest.mark.filterwarnings("ignore:.*avg_non_ignore"),
]

META_KEYS = ("img_path", "ori_shape", "img_shape", "pad_shape", "scale_factor", "flip", "flip_direction", "sample_idx")

CONFIG = """
custom_imports = dict(imports=["contrastbench.core.hosts.mmseg"])
default_scope = "mmseg"
model = {model!r}
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="BaseSegDataset",
        data_root={root!r},
        data_prefix=dict(img_path="train", seg_map_path="trainannot"),
        img_suffix=".png",
        metainfo=dict(classes={classes!r}),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations"),
            dict(type="PackSegInputs", meta_keys={meta_keys!r}),
        ],
    ),
)
train_cfg = dict(type="IterBasedTrainLoop", max_iters={iterations}, val_interval=100)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01))
default_hooks = dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2))
visualizer = dict(type="Visualizer", vis_backends=[])
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
work_dir = {work_dir!r}
resume = {resume}
"""


def runner(tmp_path: Path, name: str, iterations: int, resume: bool = False, **changes: Any) -> Runner:
    root = tmp_path / "data"
    if not root.exists():
        write_camvid(root)
    objective = {"type": "seat_objectives.Compact", "num_images": 4, **changes.pop("objective", {})}
    values = {
        "model": mmseg_model(hrnet(), 12, type="ObjectiveSegmentor", objective=objective),
        "root": str(root),
        "classes": tuple("abcdefghijkl"),
        "meta_keys": META_KEYS,
        "iterations": iterations,
        "work_dir": str(tmp_path / name),
        "resume": resume,
        **changes,
    }
    path = tmp_path / f"{name}-{iterations}.py"
    path.write_text(CONFIG.format(**values), encoding="utf-8")
    return Runner.from_cfg(Config.fromfile(path))


def test_naming_segmentor_and_objective_is_enough(tmp_path: Path) -> None:
    user = runner(tmp_path, "named", iterations=4)

    model = user.train()

    assert model.objective.step == 4
    # two images a step, each seen as itself
    assert model.objective.seen.sum() == 8
    assert user.message_hub.get_scalar("train/objective.loss_compact").current() > 0
    assert not any(name.startswith("objective.") for name in exported_state(model))


def test_mmengine_resumes_the_objective(tmp_path: Path) -> None:
    runner(tmp_path, "run", iterations=2).train()

    model = runner(tmp_path, "run", iterations=4, resume=True).train()

    assert model.objective.step == 4
    assert (tmp_path / "run" / "iter_4.pth").is_file()


class Reach:
    def __reduce__(self) -> Any:
        return getattr, (Path, "unlink")


def test_a_checkpoint_reaches_nothing_else(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "extra": Reach()}, tmp_path / "bad.pth")

    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "bad.pth", weights_only=True)


def test_number_of_images_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="num_images"):
        runner(
            tmp_path,
            "countless",
            iterations=1,
            model=mmseg_model(hrnet(), 12, type="ObjectiveSegmentor", objective={"type": "seat_objectives.Compact"}),
        )


def test_samples_must_carry_their_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sample_idx"):
        runner(tmp_path, "placeless", iterations=1, meta_keys=META_KEYS[:-1]).train()


def test_weights_are_the_same_with_and_without_objective(tmp_path: Path) -> None:
    states = []
    for name, objective in (
        ("with", {"type": "seat_objectives.Compact", "num_images": 4, "weight": 0.0}),
        ("without", None),
    ):
        model = mmseg_model(hrnet(), 12, type="ObjectiveSegmentor", objective=objective)
        states.append(exported_state(runner(tmp_path, name, iterations=2, model=model).train()))

    assert all(torch.equal(states[1][key], value) for key, value in states[0].items())
