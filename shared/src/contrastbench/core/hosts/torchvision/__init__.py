"""The torchvision host: a seat for mask objectives, and training on any source of annotated instances."""

from contrastbench.core.hosts.finite import NonFiniteLossError
from contrastbench.core.hosts.torchvision.network import build_mask_rcnn
from contrastbench.core.hosts.torchvision.seat import exported_state, fit_mask_objective
from contrastbench.core.hosts.torchvision.training import InstanceTraining

__all__ = ["InstanceTraining", "NonFiniteLossError", "build_mask_rcnn", "exported_state", "fit_mask_objective"]
