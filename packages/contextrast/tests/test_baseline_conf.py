import inspect
from pathlib import Path

import pytest
import yaml

import contrastbench.contextrast as package
from contrastbench.contextrast.baselines import MultiScaleContrast, RegionAwareContrast

CONF = Path(package.__file__).parent / "conf"
KINDS = {"multi_scale": MultiScaleContrast, "region_aware": RegionAwareContrast}


@pytest.mark.parametrize("name", KINDS)
def test_hydra_offers_every_option_with_its_default(name):
    offered = yaml.safe_load((CONF / "objective" / f"{name}.yaml").read_text())
    parameters = inspect.signature(KINDS[name]).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "seed"}
    assert {k: v for k, v in offered.items() if k not in ("defaults", "type", "seed", "taps")} == defaults
    assert ("seed" in offered) == ("seed" in inspect.signature(KINDS[name]).parameters)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("profile", ["smoke", "cpu", "gpu", "paper"])
@pytest.mark.parametrize("fidelity", ["paper", "released"])
def test_every_profile_builds(name, profile, fidelity):
    options = {"in_channels": (4, 6, 8, 10), "num_classes": 3, "num_images": 9, "ignore_index": 255}
    parts = [CONF / name / "scale" / f"{profile}.yaml"]
    if name == "region_aware":
        parts.append(CONF / name / "fidelity" / f"{fidelity}.yaml")
    for part in parts:
        options |= yaml.safe_load(part.read_text())
    module = KINDS[name](**options)
    if name == "region_aware":
        assert module.centres == {"paper": "ground_truth", "released": "predicted"}[fidelity]


def test_a_run_composes_with_each():
    compose = pytest.importorskip("contrastbench.reproductions.compose", reason="needs the reproduction engine")
    from contrastbench.core.building import build_objective

    with compose.hydra_session():
        for name, kind in KINDS.items():
            config = compose.container(compose.compose([f"objective={name}", "profile=smoke"]), "objective")
            config.pop("num_images", None)
            config.pop("taps", None)  # is the host's
            provided = {"in_channels": (4, 6, 8, 10), "num_classes": 3, "num_images": 9, "ignore_index": 255}
            assert isinstance(build_objective(config, provided), kind)
