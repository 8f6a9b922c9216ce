"""Training the embedding on stored proposals, and embedding masks with it (Weng et al., CVPR 2021, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from contrastbench.core.data.coco import decode
from contrastbench.longtail.crops import Crops
from contrastbench.longtail.embedding import MaskEmbedding
from contrastbench.longtail.losses import TripletLoss
from contrastbench.longtail.store import ProposalStore
from contrastbench.longtail.triplets import Triplets, TripletSampler

Sample = tuple[Tensor, dict[str, Tensor]]
"""An image ``[3, H, W]`` (float32, 0 to 1), and of its n proposals ``boxes`` ``[n, 4]``, ``masks`` ``[n, H, W]`` (bool)
and ``intersections`` ``[n, n]``, with ``image``, its place in the training set, and ``step``, both int64."""


class Pictures(Protocol):
    """The images of a split, as a host has them."""

    images: list[Mapping[str, Any]]

    def __getitem__(self, index: int) -> Tensor:
        """Return an image ``[3, H, W]`` (float32, 0 to 1)."""


class ProposalImages(Dataset[Sample]):
    """Images with their stored proposals, read by ticket of a :class:`~contrastbench.core.hosts.stream.Stream`.

    Args:
        pictures: the images of the training split.
        store: their proposals.
        places: of the images that are seen, in ``pictures``.
        batch_size: images a step.
    """

    def __init__(self, pictures: Pictures, store: ProposalStore, places: Sequence[int], batch_size: int) -> None:
        self.pictures, self.store, self.places, self.batch_size = pictures, store, places, batch_size

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, ticket: tuple[int, int]) -> Sample:
        position, index = ticket
        place = self.places[index]
        proposals = self.store.read(self.pictures.images[place]["id"])
        target = {
            "boxes": proposals.boxes,
            "masks": proposals.masks(),
            "intersections": proposals.intersections(),
            "image": torch.tensor(place),
            "step": torch.tensor(position // self.batch_size),
        }
        return self.pictures[place], target


def collate(samples: list[Sample]) -> list[Sample]:
    """Return a batch without the second of two equal images, which a batch across two epochs may have.

    The proposals of its copy would be negatives of an image's own.
    """
    return list({int(target["image"]): (image, target) for image, target in samples}.values())


class MaskContrast(nn.Module):
    """One step of training: crops, triplets and losses of a batch.

    Args:
        embedding: the network.
        crops: what it sees of a proposal.
        sampler: who is compared with whom.
        loss: the three losses.

    Attributes:
        objective_counts: triplets of the last step by kind.
    """

    def __init__(self, embedding: MaskEmbedding, crops: Crops, sampler: TripletSampler, loss: TripletLoss) -> None:
        super().__init__()
        self.embedding, self.loss = embedding, loss
        self.crops, self.sampler = crops, sampler
        self.objective_counts: dict[str, Tensor] = {}

    def forward(self, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the weighted losses by name (float64).

        Args:
            images: each ``[3, H, W]``.
            targets: as of :data:`Sample`.
        """
        places = [int(target["image"]) for target in targets]
        triplets = self.sampler(
            [target["intersections"] for target in targets], places, int(targets[0]["step"]), images[0].device
        )
        foreground, full, background = self._crops(images, targets, triplets)
        # Together, so that the statistics of normalisation are those of all that the step compares.
        points = self.embedding(torch.cat([foreground, full, background]))
        parts = points.split([len(foreground), len(full), len(background)])
        said = self.loss(*parts, triplets)
        self.objective_counts = {name: value for name, value in said.items() if not name.startswith("loss_")}
        return {name: value for name, value in said.items() if name.startswith("loss_")}

    def _crops(
        self, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]], triplets: Triplets
    ) -> tuple[Tensor, Tensor, Tensor]:
        foreground, full, background, start = [], [], [], 0
        for image, target in zip(images, targets, strict=True):
            boxes, masks = target["boxes"], target["masks"]
            own = triplets.mask[(triplets.mask >= start) & (triplets.mask < start + len(boxes))] - start
            parts = self.crops.parts(image, boxes[own], masks[own])
            everyone = len(own) == len(boxes)
            foreground.append(parts.foreground if everyone else self.crops.foreground(image, boxes, masks))
            full.append(parts.full)
            background.append(parts.background)
            start += len(boxes)
        return torch.cat(foreground), torch.cat(full), torch.cat(background)


class Points(NamedTuple):
    """The embedded proposals of a split.

    Attributes:
        points: ``[n, D]`` (float64).
        images: ``[n]`` (int64), the id of each one's image.
        places: ``[n]`` (int64), which of its image's stored proposals it is.
    """

    points: Tensor
    images: Tensor
    places: Tensor


@torch.no_grad()
def embed_proposals(
    embedding: MaskEmbedding,
    crops: Crops,
    pictures: Pictures,
    store: ProposalStore,
    device: torch.device,
    report: Callable[[int], None] = lambda done: None,
) -> Points:
    """Embed all proposals of a split, image after image, without their background.

    Args:
        embedding: the network; left in evaluation mode.
        crops: what it sees of a proposal.
        pictures: the images.
        store: their proposals.
        device: where the network is.
        report: called with images done.
    """
    embedding.eval()
    points = [torch.zeros(0, embedding.ball_dim, dtype=torch.float64)]
    images, places = list[int](), list[int]()
    for done, image in enumerate(pictures.images, 1):
        proposals = store.read(image["id"])
        if len(proposals):
            points.append(_embed(embedding, crops, pictures[done - 1], proposals.boxes, proposals.masks(), device))
        images += [image["id"]] * len(proposals)
        places += range(len(proposals))
        report(done)
    return Points(torch.cat(points), torch.tensor(images, dtype=torch.int64), torch.tensor(places, dtype=torch.int64))


@torch.no_grad()
def embed_annotations(
    embedding: MaskEmbedding,
    crops: Crops,
    pictures: Pictures,
    annotations: Sequence[Mapping[str, Any]],
    device: torch.device,
) -> Tensor:
    """Embed annotated masks, ``[a, D]`` (float64), in their order.

    Args:
        embedding: the network; left in evaluation mode.
        crops: what it sees of a mask.
        pictures: the images.
        annotations: of COCO, at the size of the pictures.
        device: where the network is.
    """
    embedding.eval()
    points = torch.zeros(len(annotations), embedding.ball_dim, dtype=torch.float64)
    place = {image["id"]: number for number, image in enumerate(pictures.images)}
    for image_id, numbers in _by_image(annotations):
        picture = pictures[place[image_id]]
        height, width = picture.shape[1:]
        own = [annotations[number] for number in numbers]
        masks = np.stack([decode(one["segmentation"], height, width) for one in own])
        boxes = torch.tensor([one["bbox"] for one in own], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        points[numbers] = _embed(embedding, crops, picture, boxes, torch.from_numpy(masks), device)
    return points


def _embed(
    embedding: MaskEmbedding, crops: Crops, image: Tensor, boxes: Tensor, masks: Tensor, device: torch.device
) -> Tensor:
    seen = crops.foreground(image.to(device), boxes.to(device), masks.to(device))
    points: Tensor = embedding(seen)
    return points.cpu()


def _by_image(annotations: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, list[int]]]:
    """Yield each image's id and the places of its annotations."""

    def image(number: int) -> int:
        return int(annotations[number]["image_id"])

    for image_id, numbers in groupby(sorted(range(len(annotations)), key=image), image):
        yield image_id, list(numbers)
