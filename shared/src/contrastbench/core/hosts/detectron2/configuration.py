"""What the seat adds to a configuration of detectron2."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_objective_config(cfg: CfgNode) -> None:
    """Add the keys of the objective to a configuration, before it reads a file or takes values that have them.

    Under ``MODEL.ROI_MASK_HEAD.OBJECTIVE`` stand ``type``, the dotted path of a
    :class:`~contrastbench.core.objectives.MaskObjective`, and any of its options, each under its own name. They take
    effect with ``MODEL.ROI_MASK_HEAD.NAME`` set to ``"ObjectiveMaskHead"``.

    Args:
        cfg: as of ``detectron2.config.get_cfg``; changed in place.
    """
    cfg.MODEL.ROI_MASK_HEAD.OBJECTIVE = CfgNode({"type": ""}, new_allowed=True)
