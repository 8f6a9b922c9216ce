import inspect
from pathlib import Path

import pytest
import yaml

import contrastbench.contextrast as package

CONF = Path(package.__file__).parent / "conf"
PROFILES = ("smoke", "cpu", "gpu", "paper")


def test_hydra_offers_every_option_with_its_default():
    offered = yaml.safe_load((CONF / "objective" / "contextrast.yaml").read_text())
    parameters = inspect.signature(package.Contextrast).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "seed"}
    defaults["layer_weights"] = list(defaults["layer_weights"])
    assert {k: v for k, v in offered.items() if k not in ("defaults", "type", "seed", "taps")} == defaults
    assert len(offered["taps"]) == len(offered["layer_weights"])


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_a_scale_of_known_options(profile):
    scale = yaml.safe_load((CONF / "contextrast" / "scale" / f"{profile}.yaml").read_text())
    package.Contextrast((4, 4, 4, 4), 3, **scale)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_configuration_composes(profile):
    compose = pytest.importorskip("contrastbench.reproductions.compose", reason="needs the reproduction engine")
    with compose.hydra_session():
        chosen = ["objective=contextrast", f"profile={profile}", "data.root=x", "objective.percent=0"]
        config = compose.compose(chosen if profile in ("gpu", "paper") else [c for c in chosen if "root" not in c])
        options = compose.container(config, "objective")
    taps = options.pop("taps")
    assert (options.pop("type"), taps) == ("contrastbench.contextrast.Contextrast", [0, 1, 2, 3])
    assert package.Contextrast((4, 4, 4, 4), 3, **options).sampling == "random"
