"""The pictures of a finished run of discovery, from what it left in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.longtail.contrast import Points
from contrastbench.longtail.discovery import FINDINGS, Discovery
from contrastbench.longtail.findings import child_pairs
from contrastbench.longtail.kmeans import Clusters
from contrastbench.longtail.labels import NOVEL
from contrastbench.longtail.pictures.disc import disc_picture
from contrastbench.longtail.pictures.sheet import Discovered, contact_sheet, crop_around
from contrastbench.longtail.stages import CLUSTERS, POINTS, cluster


def draw_clusters(discovery: Discovery, run_dir: Path, path: Path, most: int = 24, columns: int = 8) -> dict[str, Any]:
    """Draw the contact sheet of a run: its discovered clusters, the purest first, then its largest novel ones.

    Args:
        discovery: the experiment.
        run_dir: folder of its finished run.
        path: file to write.
        most: clusters that are shown: a third of them novel ones, or more where too few are discovered.
        columns: masks of a cluster that are shown, those nearest to its centre.

    Returns:
        ``clusters``: of each that is shown its ``label`` (None for a novel one), ``members``, and ``purity`` in per
        cent (None where no member is any annotated object).

    Raises:
        InputError: the run is not finished, or the picture cannot be written.
    """
    found = _findings(run_dir)
    points = _points(run_dir, "train")
    clusters = _clusters(discovery, run_dir, points)
    sizes = clusters.sizes.tolist()
    known = [category["known"] for category in found["categories"]]
    names = [category["name"] for category in found["categories"]]
    labels, pure = found["labels"], [share or 0.0 for share in found["purity"]]
    own = [c for c, label in enumerate(labels) if label != NOVEL and not known[label] and sizes[c]]
    novel = sorted((c for c, label in enumerate(labels) if label == NOVEL and sizes[c]), key=lambda c: -sizes[c])
    own.sort(key=lambda c: -pure[c])
    novel = novel[: max(most // 3, most - len(own))]
    distance = clusters.space.distance(points.points.double(), clusters.centres[clusters.assignment])
    shown, told = [], []
    for c in [*own[: most - len(novel)], *novel]:
        members = (clusters.assignment == c).nonzero()[:, 0]
        nearest = members[distance[members].argsort(stable=True)][:columns]
        crops, masks = _crops(discovery, points, nearest.tolist())
        label = None if labels[c] == NOVEL else names[labels[c]]
        if crops:
            shown.append(Discovered(label, crops, masks, sizes[c]))
            share = found["purity"][c]
            told.append({"label": label, "members": sizes[c], "purity": None if share is None else 100 * share})
    contact_sheet(shown, path, columns)
    return {"clusters": told}


def draw_disc(discovery: Discovery, run_dir: Path, path: Path, images: int = 4) -> dict[str, Any]:
    """Draw the disc of a run: the proposals of the first validation images, with lines from parents to children.

    Args:
        discovery: the experiment, of a run in the ball.
        run_dir: folder of its finished run.
        path: file to write.
        images: how many.

    Returns:
        ``proposals`` and ``pairs`` that are shown, and ``farther``, the share (per cent) of pairs whose child is
        farther from the origin.

    Raises:
        InputError: the run is not finished or not in the ball, or the picture cannot be written.
    """
    found = _findings(run_dir)
    clusters = _clusters(discovery, run_dir, _points(run_dir, "train"))
    every = _points(run_dir, "val")
    first = every.images.unique_consecutive()[:images]
    there = torch.isin(every.images, first)
    points = Points(every.points[there], every.images[there], every.places[there])
    nearest, _ = clusters.space.nearest(points.points, clusters.centres)
    names = [category["name"] for category in found["categories"]]
    labels = [None if (label := found["labels"][c]) == NOVEL else names[label] for c in nearest.tolist()]
    pairs = child_pairs(points, discovery.store("val"), discovery.sampler.containment, discovery.sampler.area_ratio)
    edges = [(parent, child) for parent, child in pairs.tolist()]
    share = disc_picture(points.points, labels, path, edges=edges, c=getattr(clusters.space, "c", 1.0))
    return {"proposals": len(labels), "pairs": len(edges), "farther": None if share is None else 100 * share}


def _findings(run_dir: Path) -> dict[str, Any]:
    for name in (FINDINGS, POINTS, CLUSTERS):
        if not (run_dir / name).is_file():
            raise InputError(f"'{run_dir}' holds no {name}: the run is not finished; run it to its end first")
    found: dict[str, Any] = json.loads((run_dir / FINDINGS).read_text(encoding="utf-8"))
    return found


def _points(run_dir: Path, split: str) -> Points:
    return Points(**torch.load(run_dir / POINTS, weights_only=True, map_location="cpu")[split])


def _clusters(discovery: Discovery, run_dir: Path, points: Points) -> Clusters:
    return cluster(run_dir, points.points, discovery.k, discovery.clustering, torch.device("cpu"))


def _crops(discovery: Discovery, points: Points, members: list[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the squares around the masks of members, and the masks in them; empty masks are left out."""
    store, pictures = discovery.store("train"), discovery.ground.pictures("train")
    place = {image["id"]: number for number, image in enumerate(pictures.images)}
    crops, masks = [], []
    for member in members:
        image = int(points.images[member])
        mask = store.read(image).masks()[int(points.places[member])].numpy()
        if mask.any():
            crop, inside = crop_around(_pixels(pictures[place[image]]), mask)
            crops.append(crop)
            masks.append(inside)
    return crops, masks


def _pixels(image: Tensor) -> np.ndarray:
    """Return an image ``[3, H, W]`` (0 to 1) as ``[H, W, 3]`` (uint8)."""
    return (image.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
