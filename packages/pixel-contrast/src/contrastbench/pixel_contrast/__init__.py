"""Cross-image pixel contrast for semantic segmentation (Wang et al., ICCV 2021)."""

from contrastbench.pixel_contrast.objective import PixelContrast
from contrastbench.pixel_contrast.presets import PAPER, RELEASED
from contrastbench.pixel_contrast.projection import ProjectionHead

__all__ = ["PAPER", "RELEASED", "PixelContrast", "ProjectionHead"]
