from pathlib import Path

import pytest
import yaml

import contrastbench.pixel_contrast as package
from contrastbench.pixel_contrast import PAPER, RELEASED

CONF = Path(package.__file__).parent / "conf"


@pytest.mark.parametrize(("name", "preset"), [("paper", PAPER), ("released", RELEASED)])
def test_hydra_and_python_mean_the_same(name, preset):
    assert (yaml.safe_load((CONF / "pixel_contrast" / "fidelity" / f"{name}.yaml").read_text()) or {}) == preset


def test_hydra_offers_every_option_with_the_papers_value():
    import inspect

    offered = yaml.safe_load((CONF / "objective" / "pixel_contrast.yaml").read_text())
    parameters = inspect.signature(package.PixelContrast).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "seed"}
    assert {k: v for k, v in offered.items() if k not in ("defaults", "type", "seed")} == defaults


@pytest.mark.parametrize(
    ("fidelity", "profile", "warmup"),
    [("paper", "cpu", 0), ("released", "paper", 5000), ("released", "cpu", 75), ("released", "smoke", 0)],
)
def test_the_released_warm_up_is_an_eighth_of_the_schedule(fidelity, profile, warmup):
    compose = pytest.importorskip("contrastbench.reproductions.compose", reason="needs the reproduction engine")
    with compose.hydra_session():
        chosen = ["objective=pixel_contrast", f"fidelity={fidelity}", f"profile={profile}", "data.root=x"]
        config = compose.compose(chosen if profile == "paper" else chosen[:-1])
        assert compose.container(config, "objective")["warmup"] == warmup
        if warmup:
            assert compose.container(config, "schedule")["iterations"] == 8 * warmup
