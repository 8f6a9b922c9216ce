"""The objective in a plain project of detectron2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("detectron2", reason="detectron2 is not installed; see the README's section on it")

from PIL import Image

import contrastbench.core.hosts.detectron2  # noqa: F401  (before detectron2, whose import warns of itself)

# isort: split
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.model_zoo import get_config_file
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from contrastbench.core.hosts.detectron2 import ObjectiveMaskHead
from contrastbench.dcl import DenseContrast

pytestmark = pytest.mark.detectron2

EXAMPLE = Path(__file__).parents[1] / "examples/detectron2_maskrcnn.py"
SMALL = {
    "MODEL.DEVICE": "cpu",
    "MODEL.RESNETS.DEPTH": "18",
    "MODEL.RESNETS.RES2_OUT_CHANNELS": "64",
    "MODEL.FPN.OUT_CHANNELS": "16",
    "MODEL.ROI_BOX_HEAD.FC_DIM": "16",
    "MODEL.ROI_MASK_HEAD.CONV_DIM": "16",
}


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools, under numpy 2
def test_the_loss_is_that_of_the_objective_alone():
    """Features, masks, classes and images that the seat gives, given to an objective outside detectron2."""
    generator = torch.Generator().manual_seed(0)
    inside, alone = (DenseContrast(12, 3, samples=8, dim=4, weight=1.6, seed=3) for _ in range(2))
    alone.load_state_dict(inside.state_dict())
    shape = ShapeSpec(channels=6, height=14, width=14)
    head = ObjectiveMaskHead(shape, num_classes=3, conv_dims=[8, 12], objective=inside)
    images = []
    for count in (2, 0, 1):
        masks = torch.zeros(count, 64, 64, dtype=torch.bool)
        masks[:, 16:40, 20:44] = True
        boxes = Boxes(torch.tensor([[10.0, 12, 50, 44]]).repeat(count, 1))
        classes = torch.arange(count)
        images.append(Instances((64, 64), proposal_boxes=boxes, gt_classes=classes, gt_masks=BitMasks(masks)))
    seen = []
    inside.register_forward_pre_hook(lambda module, given: seen.append(given))
    with EventStorage() as storage:
        losses = head(torch.randn(3, 6, 14, 14, generator=generator), images)

    [given] = seen
    expected = alone(*given)
    assert expected["loss_dcl"] > 0
    assert torch.equal(losses["objective.loss_dcl"], expected["loss_dcl"])
    assert storage.latest()["objective.dcl_valid_rois"] == (3.0, 0)
    assert given[3].tolist() == [0, 0, 2]


@pytest.mark.slow
def test_the_example_trains_on_a_coco_data_set(tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (96, 64), "grey").save(tmp_path / f"{name}.png")
    box, ring = [10, 8, 50, 48], [10, 8, 60, 8, 60, 56, 10, 30]
    annotations = [
        {"id": i, "image_id": i, "category_id": 2, "bbox": box, "area": 1200, "iscrowd": 0, "segmentation": [ring]}
        for i in (1, 2)
    ]
    images = [{"id": i, "file_name": f"{name}.png", "height": 64, "width": 96} for i, name in ((1, "a"), (2, "b"))]
    dataset = {"images": images, "annotations": annotations, "categories": [{"id": 2, "name": "thing"}]}
    (tmp_path / "all.json").write_text(json.dumps(dataset))
    keys = {
        **SMALL,
        "OUTPUT_DIR": str(tmp_path / "out"),
        "SOLVER.MAX_ITER": "2",
        "SOLVER.IMS_PER_BATCH": "2",
        "DATALOADER.NUM_WORKERS": "0",
        "INPUT.MIN_SIZE_TRAIN": "(64,)",
    }
    command = [sys.executable, EXAMPLE, tmp_path, tmp_path / "all.json", "--classes=1"]
    command += [f"--out={tmp_path / 'out.pth'}", "--keys", *(part for item in keys.items() for part in item)]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    logged = [json.loads(line) for line in (tmp_path / "out/metrics.json").read_text().splitlines()]
    assert logged[-1]["objective.loss_dcl"] > 0
    assert logged[-1]["objective.dcl_rois"] > 0
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"))
    cfg.merge_from_list([part for item in SMALL.items() for part in item])
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    weights = torch.load(tmp_path / "out.pth", weights_only=True)["model"]
    build_model(cfg).load_state_dict(weights, strict=True)


def test_five_lines_are_all_it_takes():
    marked = [line for line in EXAMPLE.read_text().splitlines() if "# dense contrast" in line]
    assert len(marked) == 5


def test_the_readme_shows_what_the_example_does():
    readme = (EXAMPLE.parents[1] / "README.md").read_text()
    for line in EXAMPLE.read_text().splitlines():
        if "# dense contrast" in line:
            assert line.split("  # dense")[0].strip() in readme
