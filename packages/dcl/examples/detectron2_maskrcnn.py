"""Train detectron2's Mask R-CNN with the dense contrastive loss, on images with annotations in COCO's format.

    python detectron2_maskrcnn.py IMAGES ANNOTATIONS.json --classes 8 [--keys MODEL.WEIGHTS R-50.pkl ...]

An ordinary project of detectron2: its configuration, its trainer. What the loss adds to it is marked, five lines.
"""

import argparse
from pathlib import Path

import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode, get_cfg
from detectron2.data.datasets import register_coco_instances
from detectron2.engine import DefaultTrainer

from contrastbench.core.hosts.detectron2 import add_objective_config, exported_state  # dense contrast, 1


def configuration(classes: int, keys: list[str]) -> CfgNode:
    """Return detectron2's Mask R-CNN R50-FPN for so many classes, with the dense contrastive loss."""
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"))
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = classes
    add_objective_config(cfg)  # dense contrast, 2
    cfg.MODEL.ROI_MASK_HEAD.NAME = "ObjectiveMaskHead"  # dense contrast, 3
    cfg.MODEL.ROI_MASK_HEAD.OBJECTIVE.type = "contrastbench.dcl.DenseContrast"  # dense contrast, 4
    cfg.MODEL.ROI_MASK_HEAD.OBJECTIVE.weight = 1.2  # dense contrast, 5: lambda; 0.1 on COCO
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("mine",), ()
    cfg.MODEL.WEIGHTS = ""
    cfg.merge_from_list(keys)
    return cfg


def main() -> None:
    """Train, and save the weights that inference needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--out", type=Path, default=Path("maskrcnn.pth"))
    parser.add_argument("--keys", nargs="*", default=[], help="of detectron2's configuration, each with its value")
    arguments = parser.parse_args()

    register_coco_instances("mine", {}, str(arguments.annotations), str(arguments.images))
    cfg = configuration(arguments.classes, arguments.keys)
    Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    # Without the projection: MODEL.WEIGHTS of a plain Mask R-CNN.
    torch.save({"model": exported_state(trainer.model)}, arguments.out)


if __name__ == "__main__":
    main()
