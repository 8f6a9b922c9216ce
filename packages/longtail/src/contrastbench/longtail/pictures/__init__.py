"""Pictures of what was discovered: a contact sheet of clusters, and the disc with its masks.

In the style of the paper's Figures 3, 4 and 6. Needs matplotlib (the extra ``discovery``). The same input gives the
same bytes.
"""

from contrastbench.longtail.pictures.disc import disc_picture, to_disc
from contrastbench.longtail.pictures.sheet import Discovered, contact_sheet, crop_around, marked

__all__ = ["Discovered", "contact_sheet", "crop_around", "disc_picture", "marked", "to_disc"]
