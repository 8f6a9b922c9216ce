"""The region table: one key for each class and training image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contrastbench.core.errors import InputError
from contrastbench.core.ops.class_means import class_sums


def region_means(embeddings: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Average each class's embeddings in each image, and bring the mean to unit length.

    Wang et al., ICCV 2021, section 3.2 ("average pooling all the embeddings of pixels labeled as c in the n-th
    image"); every embedding that enters the loss has unit length (section 3.1), so the mean is given it too.

    Args:
        embeddings: ``[B, H, W, D]`` (float), of unit length.
        labels: ``[B, H, W]`` (int64) at the embeddings' own stride; outside 0..C-1 is ignored.
        num_classes: |C|.

    Returns:
        means ``[B, C, D]`` and which of them exist ``[B, C]`` (bool).
    """
    sums, counts = class_sums(embeddings, labels, num_classes)
    # A sum points where the mean does; of many pixels it may pass what half precision holds, a unit vector does not.
    return F.normalize(sums, dim=-1).to(embeddings), counts > 0


class RegionTable(nn.Module):
    """A table of |C| x N region keys (Wang et al., ICCV 2021, section 3.2).

    Args:
        num_classes: |C|.
        num_images: N, images of the training set.
        dim: D, size of a key.

    Attributes:
        keys: ``[C, N, D]`` (float32).
        held: ``[C, N]`` (bool), which entries have been written.
    """

    keys: Tensor
    held: Tensor

    def __init__(self, num_classes: int, num_images: int, dim: int) -> None:
        super().__init__()
        if min(num_classes, num_images, dim) < 1:
            raise InputError(
                "a region table needs at least one class, image and dimension; "
                f"got {num_classes}, {num_images} and {dim}"
            )
        self.register_buffer("keys", torch.zeros(num_classes, num_images, dim))
        self.register_buffer("held", torch.zeros(num_classes, num_images, dtype=torch.bool))

    @torch.no_grad()
    def write(self, means: Tensor, present: Tensor, image_index: Tensor) -> None:
        """Replace the entries of some images; a class absent from an image leaves its entry as it was.

        Args:
            means: ``[B, C, D]`` (float).
            present: ``[B, C]`` (bool), which means exist.
            image_index: ``[B]`` (int64), in 0..N-1. Of an image given twice the later entry stays.

        Raises:
            InputError: an index outside the table.
        """
        num_images = self.keys.shape[1]
        if len(image_index) and not 0 <= int(image_index.min()) <= int(image_index.max()) < num_images:
            raise InputError(
                f"image index {image_index.tolist()} outside the region table's 0..{num_images - 1}; "
                "num_images must be the size of the training set"
            )
        # One image after another, as writes to the same entry in one call have no defined order.
        for mean, exists, image in zip(means, present, image_index.tolist(), strict=True):
            self.keys[exists, image] = mean[exists].to(self.keys)
            self.held[exists, image] = True
