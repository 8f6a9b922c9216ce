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
