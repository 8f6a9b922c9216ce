"""The objective in torchvision's Mask R-CNN: there in training, without a trace at inference."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("torchvision", reason="torchvision is not installed; pip install './packages/dcl[torchvision]'")

from PIL import Image
from torchvision.models.detection import maskrcnn_resnet50_fpn

from contrastbench.core.hosts.torchvision import exported_state, fit_mask_objective
from contrastbench.dcl import DenseContrast

EXAMPLE = Path(__file__).parents[1] / "examples/torchvision_maskrcnn.py"


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=128)


def test_it_trains_beside_the_other_losses_and_leaves_nothing_at_inference():
    plain = network()
    model = fit_mask_objective(network(), DenseContrast(256, 2, samples=8))
    image = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0))
    target = {
        "boxes": torch.tensor([[8.0, 8, 40, 56], [50, 10, 90, 50]]),
        "labels": torch.tensor([1, 2]),
        "masks": torch.zeros(2, 64, 96, dtype=torch.uint8),
    }
    target["masks"][0, 12:52, 12:36] = target["masks"][1, 14:40, 54:80] = 1
    torch.manual_seed(1)
    losses = model.train()([image], [target])
    torch.manual_seed(1)
    assert losses.keys() - plain.train()([image], [target]).keys() == {"loss_dcl"}
    assert float(model.objective_counts["dcl_valid_rois"]) >= 2
    losses["loss_dcl"].backward()
    assert model.roi_heads.mask_predictor.conv5_mask.weight.grad.abs().sum() > 0
    assert model.backbone.body.conv1.weight.grad.abs().sum() > 0
    assert model.roi_heads.mask_predictor.mask_fcn_logits.weight.grad is None

    plain.load_state_dict(exported_state(model))
    with torch.inference_mode():
        expected, found = plain.eval()([image])[0], model.eval()([image])[0]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_the_example_trains_on_a_coco_data_set(tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (96, 64), "grey").save(tmp_path / f"{name}.png")
    box = [10, 8, 50, 48]
    ring = [10, 8, 60, 8, 60, 56, 10, 30]
    annotations = [
        {"id": i, "image_id": i, "category_id": 2, "bbox": box, "area": 1200, "iscrowd": 0, "segmentation": [ring]}
        for i in (1, 2)
    ]
    images = [{"id": i, "file_name": f"{name}.png", "height": 64, "width": 96} for i, name in ((1, "a"), (2, "b"))]
    dataset = {"images": images, "annotations": annotations, "categories": [{"id": 2, "name": "thing"}]}
    (tmp_path / "all.json").write_text(json.dumps(dataset))
    command = [sys.executable, EXAMPLE, tmp_path, tmp_path / "all.json", "--steps=2", "--min-size=64"]
    done = subprocess.run([*command, f"--out={tmp_path / 'out.pth'}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "loss_mask" in done.stdout
    assert "loss_dcl" in done.stdout
    maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3).load_state_dict(
        torch.load(tmp_path / "out.pth", weights_only=True)
    )


def test_the_readme_shows_what_the_example_does():
    readme, example = (EXAMPLE.parents[1] / "README.md").read_text(), EXAMPLE.read_text()
    for line in ("fit_mask_objective(model, {", '"contrastbench.dcl.DenseContrast"', "exported_state(model)"):
        assert line in readme
        assert line in example
