"""Swin-T with a feature pyramid, as a backbone that a ``CfgNode`` can name."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.swin import SwinTransformer
from torchvision.ops import StochasticDepth

DROP_PATH = 0.2
"""Rate at which the last block is left out in training; that of the others rises to it linearly from 0."""


@BACKBONE_REGISTRY.register()
def build_swin_t_fpn_backbone(cfg: Any, input_shape: ShapeSpec) -> Backbone:
    """Return Swin-T (Liu et al., ICCV 2021: 96 channels, blocks 2, 2, 6, 2, windows of 7) with a feature pyramid.

    detectron2 has the transformer for its ``LazyConfig`` alone.

    Args:
        cfg: its ``MODEL.FPN`` and ``MODEL.BACKBONE.FREEZE_AT`` are read: how many stages do not train, the patch
            embedding being the first, as the stem is of a ResNet.
        input_shape: of images.
    """
    frozen = cfg.MODEL.BACKBONE.FREEZE_AT
    bottom_up = SwinTransformer(
        in_chans=input_shape.channels,
        # The transformer counts from -1 (nothing), and 0 and 1 both mean the patch embedding.
        frozen_stages=frozen if frozen > 1 else frozen - 1,
        drop_path_rate=0.0,  # which would need timm
    )
    blocks = [block for stage in bottom_up.layers for block in stage.blocks]
    for block, rate in zip(blocks, torch.linspace(0, DROP_PATH, len(blocks)).tolist(), strict=True):
        block.drop_path = StochasticDepth(rate, mode="row")
    return FPN(
        bottom_up=bottom_up,
        in_features=["p0", "p1", "p2", "p3"],
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
