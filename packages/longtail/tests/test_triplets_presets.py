"""The presets and the configuration say the same, and every part takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

import contrastbench.longtail.conf
from contrastbench.longtail import PAPER, RELEASED, Crops, MaskEmbedding, TripletLoss, TripletSampler

CONF = Path(contrastbench.longtail.conf.__file__).parent / "longtail"
PARTS = {"crops", "embedding", "encoder", "losses", "triplets"}


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONF / f"{name}.yaml").read_text())


def test_the_fidelities_are_the_presets() -> None:
    assert read("fidelity/paper") == PAPER
    assert read("fidelity/released") == RELEASED


@pytest.mark.parametrize("fidelity", ["paper", "released"])
@pytest.mark.parametrize("profile", ["smoke", "cpu", "gpu", "paper"])
def test_every_part_takes_its_options(profile: str, fidelity: str) -> None:
    scale, choice = read(f"scale/{profile}"), read(f"fidelity/{fidelity}")
    assert scale.keys() | choice.keys() <= PARTS
    parts: dict[str, dict[str, Any]] = {name: scale.get(name, {}) | choice.get(name, {}) for name in PARTS}
    crops = Crops(**parts["crops"])
    assert crops.size == {"smoke": 16, "cpu": 32}.get(profile, 224)
    MaskEmbedding(nn.Identity(), 8 * parts["encoder"].get("width", 64), **parts["embedding"])
    TripletSampler(**parts["triplets"])
    TripletLoss(**parts["losses"])
