"""Dense contrastive loss for instance segmentation (Chen et al., BMVC 2022), and its error analysis."""

from contrastbench.dcl.infonce import dense_infonce
from contrastbench.dcl.objective import DenseContrast, Samples
from contrastbench.dcl.presets import PAPER, RELEASED
from contrastbench.dcl.projection import ProjectionHead

__all__ = ["PAPER", "RELEASED", "DenseContrast", "ProjectionHead", "Samples", "dense_infonce"]
