"""The detectron2 host: a seat for mask objectives, and training on any source of annotated instances.

Importing this registers the mask head and a Swin-T backbone by name with detectron2.
"""

from contrastbench.core.hosts.detectron2.quiet import quiet

with quiet():
    from contrastbench.core.hosts.detectron2.configuration import add_objective_config
    from contrastbench.core.hosts.detectron2.dataset import register_instances
    from contrastbench.core.hosts.detectron2.seat import ObjectiveMaskHead, exported_state
    from contrastbench.core.hosts.detectron2.swin import build_swin_t_fpn_backbone
    from contrastbench.core.hosts.detectron2.training import InstanceTraining
from contrastbench.core.hosts.finite import NonFiniteLossError

__all__ = [
    "InstanceTraining",
    "NonFiniteLossError",
    "ObjectiveMaskHead",
    "add_objective_config",
    "build_swin_t_fpn_backbone",
    "exported_state",
    "register_instances",
]
