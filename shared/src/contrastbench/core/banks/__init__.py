"""What is remembered between steps. A bank is stored by class, and says which of its slots are written."""

from contrastbench.core.banks.pixel_queue import PixelQueue
from contrastbench.core.banks.region_table import RegionTable, region_means

__all__ = ["PixelQueue", "RegionTable", "region_means"]
