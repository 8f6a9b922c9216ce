"""Configurations of detectron2: a user's own, and those that a ``network`` mapping gives."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("detectron2", reason="detectron2 is not installed; see the detectron2 extra")
from detectron2 import model_zoo
from detectron2.config import CfgNode, LazyCall, get_cfg, instantiate
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from small_detectron2 import OPTIONS, WARNINGS, batch, slim

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.detectron2 import ObjectiveMaskHead, add_objective_config, exported_state
from contrastbench.core.hosts.detectron2.network import build_network, configure

pytestmark = [pytest.mark.detectron2, *WARNINGS]

COMPACT = "mask_objectives.CompactMask"


@pytest.fixture(autouse=True)
def _own_generator() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def user_config() -> CfgNode:
    """A project's own configuration, as small as tests want it."""
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"))
    cfg.merge_from_list([part for item in OPTIONS.items() for part in item])
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64])
    return cfg


def trains(model: Any, generator: torch.Generator) -> dict[str, torch.Tensor]:
    with EventStorage() as storage:
        losses: dict[str, torch.Tensor] = model(batch(generator))
    torch.stack(list(losses.values())).sum().backward()
    assert storage.latest()["objective.steps"][0] == 1
    return losses


def test_a_user_s_configuration(generator: torch.Generator) -> None:
    cfg = user_config()
    add_objective_config(cfg)
    cfg.MODEL.ROI_MASK_HEAD.NAME = "ObjectiveMaskHead"
    cfg.MODEL.ROI_MASK_HEAD.OBJECTIVE.type = COMPACT
    cfg.MODEL.ROI_MASK_HEAD.OBJECTIVE.weight = 3.0

    model = build_model(cfg.clone())

    head = model.roi_heads.mask_head
    assert isinstance(head, ObjectiveMaskHead)
    assert head.objective.weight == 3.0
    assert "objective.loss_compact" in trains(model, generator)
    plain = build_model(user_config())
    plain.load_state_dict(exported_state(model), strict=True)


def test_a_user_s_yaml(tmp_path: Path) -> None:
    cfg = user_config()
    add_objective_config(cfg)
    file = tmp_path / "mine.yaml"
    file.write_text(
        "MODEL:\n  ROI_MASK_HEAD:\n    NAME: ObjectiveMaskHead\n    CLS_AGNOSTIC_MASK: true\n"
        f"    OBJECTIVE: {{type: {COMPACT}, weight: 0.5}}\n"
    )
    cfg.merge_from_file(str(file))
    cfg.freeze()

    head = build_model(cfg).roi_heads.mask_head

    assert head.objective.weight == 0.5
    assert head.predictor.out_channels == 1


def test_a_user_s_lazy_config(generator: torch.Generator) -> None:
    config = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model
    config.backbone.bottom_up.stages.depth = 18
    config.backbone.bottom_up.stages.pop("stride_in_1x1")
    config.roi_heads.num_classes = 2
    config.roi_heads.mask_head._target_ = ObjectiveMaskHead
    config.roi_heads.mask_head.objective = {"type": COMPACT, "weight": 3.0}

    model = instantiate(config)

    assert model.roi_heads.mask_head.objective.weight == 3.0
    assert "objective.loss_compact" in trains(model, generator)


def test_a_lazy_config_may_build_the_objective_itself() -> None:
    from mask_objectives import CompactMask

    config = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model.roi_heads.mask_head
    config.num_classes = 2
    config._target_ = ObjectiveMaskHead
    config.objective = LazyCall(CompactMask)(in_channels=256, num_classes=2)

    assert isinstance(instantiate(config).objective, CompactMask)


@pytest.mark.parametrize("added", [True, False])
def test_a_head_without_its_objective_is_explained(added: bool) -> None:
    cfg = user_config()
    if added:
        add_objective_config(cfg)
    cfg.MODEL.ROI_MASK_HEAD.NAME = "ObjectiveMaskHead"

    with pytest.raises(InputError, match=r"add_objective_config\(cfg\)"):
        build_model(cfg)


def test_with_weights_it_is_detectron2_s_own() -> None:
    expected = get_cfg()
    expected.merge_from_file(model_zoo.get_config_file("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"))
    add_objective_config(expected)
    expected.MODEL.DEVICE = "cpu"

    assert configure({"weights": "R-50.pkl"}, None, 80) == expected


def test_from_scratch_everything_trains() -> None:
    model = build_network(configure(slim(), None, 2))

    assert all(parameter.requires_grad for parameter in model.parameters())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


def test_options_may_be_nested_and_whole() -> None:
    cfg = configure({"options": {"MODEL": {"RPN": {"NMS_THRESH": 1}}, "MODEL.FPN.OUT_CHANNELS": 32}}, None, 5)

    assert (cfg.MODEL.RPN.NMS_THRESH, cfg.MODEL.FPN.OUT_CHANNELS, cfg.MODEL.ROI_HEADS.NUM_CLASSES) == (1.0, 32, 5)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"bakcbone": "resnet50"}, "did you mean 'backbone'"),
        ({"backbone": "resnet51"}, "did you mean 'resnet50'"),
        ({"options": {"MODEL.FPN.OUT_CHANELS": 64}}, r"did you mean 'MODEL\.FPN\.OUT_CHANNELS'"),
        ({"options": {"MODEL.FPN.OUT_CHANNELS": "many"}}, r"MODEL\.FPN\.OUT_CHANNELS is 'many'; expected int, as 256"),
    ],
)
def test_wrong_networks_are_explained(network: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        configure(network, None, 2)


def test_weights_are_found_by_name(tmp_path: Path) -> None:
    cfg = configure(slim(), None, 2)
    source = build_network(cfg)
    # As MSRA's are: arrays in a pickle, of the backbone alone, under Caffe2's names.
    torch.nn.init.constant_(source.backbone.bottom_up.stem.conv1.weight, 0.25)
    pickled = {"conv1_w": source.backbone.bottom_up.stem.conv1.weight.detach().numpy()}
    (tmp_path / "r18.pkl").write_bytes(pickle.dumps(pickled))
    torch.save({"model": source.backbone.bottom_up.state_dict()}, tmp_path / "backbone.pth")
    torch.save({"model": source.state_dict()}, tmp_path / "whole.pth")

    for name in ("r18.pkl", "backbone.pth", "whole.pth"):
        model = build_network(cfg, tmp_path / name)
        assert (model.backbone.bottom_up.stem.conv1.weight == 0.25).all(), name
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in source.state_dict().items())


def test_weights_of_swin_are_found_by_name(tmp_path: Path) -> None:
    cfg = configure({**slim(), "backbone": "swin_tiny"}, None, 2)
    source: Any = build_network(cfg)
    # As its authors save it: a classifier, with a norm of its own in the place of those of the four stages.
    state = {name: value for name, value in source.backbone.bottom_up.state_dict().items() if name[:5] != "norm3"}
    extra = {"norm.weight": torch.zeros(768), "norm.bias": torch.ones(768), "head.weight": torch.ones(1000, 768)}
    torch.save({"model": {**state, **extra}}, tmp_path / "swin.pth")

    model: Any = build_network(cfg, tmp_path / "swin.pth")

    loaded = model.backbone.bottom_up.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in state.items())
    assert bool((loaded["norm3.weight"] == 1).all())


def test_weights_of_other_classes_are_left_out(tmp_path: Path) -> None:
    source = build_network(configure(slim(), None, 5))
    torch.save({"model": source.state_dict()}, tmp_path / "five.pth")

    model = build_network(configure(slim(), None, 2), tmp_path / "five.pth")

    assert torch.equal(model.roi_heads.mask_head.deconv.weight, source.roi_heads.mask_head.deconv.weight)
    assert model.roi_heads.mask_head.predictor.out_channels == 2


class Reach:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("reached"),)


@pytest.mark.parametrize("name", ["weights.pkl", "weights.pth"])
def test_weights_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"model": {"conv1_w": np.ones(3)}, "__author__": Reach()}
    if name.endswith(".pkl"):
        Path(name).write_bytes(pickle.dumps(content))
    else:
        torch.save(content, name)

    with pytest.raises(InputError, match="does not load"):
        build_network(configure(slim(), None, 2), tmp_path / name)

    assert not Path("reached").exists()


def test_weights_that_do_not_fit_are_explained(tmp_path: Path) -> None:
    cfg = configure(slim(), None, 2)
    torch.save({"model": {"other": torch.ones(3)}}, tmp_path / "other.pth")
    (tmp_path / "torn.pth").write_bytes(b"torn")
    (tmp_path / "torn.pkl").write_bytes(pickle.dumps({"conv1_w": np.ones(3)})[:-5])

    for name, message in (
        ("missing.pth", "there is no file"),
        ("other.pth", "fits this network"),
        ("torn.pth", "does not load"),
        ("torn.pkl", "does not load"),
    ):
        with pytest.raises(InputError, match=message):
            build_network(cfg, tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "parameters"),
    [({"backbone": "resnet50"}, 44e6), ({"backbone": "swin_tiny"}, 48e6)],
    ids=lambda value: value["backbone"] if isinstance(value, dict) else "",
)
def test_the_paper_s_networks(network: dict[str, Any], parameters: float, generator: torch.Generator) -> None:
    model = build_network(configure(network, {"type": COMPACT}, 80))

    counted = sum(p.numel() for n, p in model.named_parameters() if "objective" not in n)
    assert counted == pytest.approx(parameters, rel=0.02)
    assert model.roi_heads.mask_head.objective.projection.in_channels == 256
    assert "objective.loss_compact" in trains(model, generator)


@pytest.mark.parametrize(("freeze_at", "frozen"), [(0, 0), (1, 1), (2, 2)])
def test_first_stages_of_swin_can_be_frozen(freeze_at: int, frozen: int) -> None:
    options = {"MODEL.BACKBONE.FREEZE_AT": freeze_at}
    model: Any = build_network(configure({"backbone": "swin_tiny", "options": options}, None, 2))
    stages = [model.backbone.bottom_up.patch_embed, *model.backbone.bottom_up.layers]

    assert [all(not p.requires_grad for p in stage.parameters()) for stage in stages] == [
        place < frozen for place in range(5)
    ]
