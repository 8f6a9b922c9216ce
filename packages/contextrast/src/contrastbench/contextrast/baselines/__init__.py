"""What Contextrast is compared with in its Table 2, beside pixel contrast."""

from contrastbench.contextrast.baselines.multi_scale import MultiScaleContrast
from contrastbench.contextrast.baselines.region_aware import RegionAwareContrast

__all__ = ["MultiScaleContrast", "RegionAwareContrast"]
