"""The presets in Python and in Hydra."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml

import contrastbench.dcl as package
from contrastbench.dcl import PAPER, RELEASED, DenseContrast, presets

CONF = Path(package.__file__).parent / "conf"
SETTINGS = {
    "CITYSCAPES": 1.2,
    "CITYSCAPES_FROM_COCO": 1.6,
    "COCO": 0.1,
    "REFINEMASK": 1.0,
    "REFINEMASK_RELEASED": 1.4,
}


@pytest.mark.parametrize(("name", "preset"), [("paper", PAPER), ("released", RELEASED)])
def test_hydra_and_python_mean_the_same(name, preset):
    assert yaml.safe_load((CONF / "dcl/fidelity" / f"{name}.yaml").read_text()) == preset


def test_hydra_offers_every_option_with_its_default():
    offered = yaml.safe_load((CONF / "objective/dcl.yaml").read_text())
    parameters = inspect.signature(DenseContrast).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "seed"}
    assert {k: v for k, v in offered.items() if k not in ("defaults", "type", "seed")} == defaults


@pytest.mark.parametrize(("setting", "weight"), SETTINGS.items())
@pytest.mark.parametrize("fidelity", [PAPER, RELEASED], ids=["paper", "released"])
def test_a_setting_combines_with_a_fidelity(setting, weight, fidelity):
    """Discrepancy 3: the paper names one weight, the released configurations one for each setting."""
    module = DenseContrast(8, **fidelity, **getattr(presets, setting))
    assert module.weight == weight
    assert module.max_rois == fidelity.get("max_rois")


@pytest.mark.parametrize("profile", ["smoke", "cpu", "gpu", "paper"])
@pytest.mark.parametrize("fidelity", ["paper", "released"])
def test_the_engine_composes_it(fidelity, profile):
    compose = pytest.importorskip("contrastbench.reproductions.compose", reason="needs the reproduction engine")
    from contrastbench.core.building import build_objective

    with compose.hydra_session():
        config = compose.compose(["objective=dcl", f"fidelity={fidelity}", f"profile={profile}", "seed=7"])
        options = compose.container(config, "objective")
    module = build_objective(options, {"in_channels": 16, "num_classes": 3})
    assert isinstance(module, DenseContrast)
    assert module.samples == (4 if profile == "smoke" else 32)
    assert (module.strict, module.replacement, module.seed) == (*[fidelity == "released"] * 2, 7)
