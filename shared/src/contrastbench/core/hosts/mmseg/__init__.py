"""The mmsegmentation host: a seat for semantic objectives, and training on any source of labelled images.

Importing this registers everything by name with mmsegmentation, so that a configuration of one's own needs only
``custom_imports = dict(imports=["contrastbench.core.hosts.mmseg"])``.
"""

import warnings

from contrastbench.core.hosts.mmseg.extension import stand_in

stand_in()  # before anything imports mmcv.ops

with warnings.catch_warnings():
    # mmcv compiles two activations with torch.jit, and mmengine looks for packages with pkg_resources.
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+.* is deprecated", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message=".*pkg_resources")
    # mmseg imports an attention of mmcv from where it no longer is.
    warnings.filterwarnings("ignore", message=".*MultiScaleDeformableAttention", category=ImportWarning)
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)

from contrastbench.core.hosts.finite import NonFiniteLossError  # noqa: E402
from contrastbench.core.hosts.mmseg.dataset import SourceDataset  # noqa: E402
from contrastbench.core.hosts.mmseg.safe_globals import allow_history  # noqa: E402
from contrastbench.core.hosts.mmseg.seat import (  # noqa: E402
    CascadeObjectiveSegmentor,
    ObjectiveSegmentor,
    exported_state,
)
from contrastbench.core.hosts.mmseg.training import SemanticTraining  # noqa: E402

allow_history()

__all__ = [
    "CascadeObjectiveSegmentor",
    "NonFiniteLossError",
    "ObjectiveSegmentor",
    "SemanticTraining",
    "SourceDataset",
    "exported_state",
]
