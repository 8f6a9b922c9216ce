"""The stages of discovery whose outcome is kept in the run's folder: each is done once, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrastbench.core.writing import whole
from contrastbench.longtail.contrast import (
    MaskContrast,
    Pictures,
    Points,
    ProposalImages,
    collate,
    embed_proposals,
)
from contrastbench.longtail.crops import Crops
from contrastbench.longtail.elbow import elbow
from contrastbench.longtail.embedding import MaskEmbedding
from contrastbench.longtail.geometry import space_named
from contrastbench.longtail.kmeans import Clusters, HyperbolicKMeans
from contrastbench.longtail.store import ProposalStore

EMBEDDING, POINTS, CLUSTERS = "embedding.pth", "points.pth", "clusters.pth"

Done = Callable[[int], None]


def train_embedding(
    run_dir: Path,
    model: MaskContrast,
    schedule: Any,
    pictures: Pictures,
    store: ProposalStore,
    places: Sequence[int],
    seed: int,
    device: torch.device,
    report: Done,
) -> dict[str, Any]:
    """Train the embedding, going on from a checkpoint, or read it where it is trained.

    Args:
        run_dir: the run's folder.
        model: on its device; its embedding has the trained weights afterwards.
        schedule: an ``InstanceSchedule`` of the torchvision host.
        pictures: of the training split.
        store: their proposals.
        places: of the images that have any.
        seed: of the order of images.
        device: where the model is.
        report: called with steps taken.

    Returns:
        ``seconds`` it took, over all interruptions, and ``counts`` of the last step's triplets.
    """
    from torch.utils.data import DataLoader

    from contrastbench.core.hosts.stream import Stream, one_thread
    from contrastbench.core.hosts.trainer import CHECKPOINT, Trainer

    path = run_dir / EMBEDDING
    if not path.is_file():
        trainer = Trainer(model, schedule, device, run_dir, seed)
        stream = Stream(len(places), schedule.batch_size, schedule.iterations, seed)
        stream.start = trainer.progress.step
        loader: DataLoader[Any] = DataLoader(
            ProposalImages(pictures, store, places, schedule.batch_size),
            batch_size=schedule.batch_size,
            sampler=stream,
            collate_fn=collate,
            num_workers=schedule.workers,
            worker_init_fn=one_thread,
            # The loader draws a seed for its workers, which must not come from the generator of the run.
            generator=torch.Generator(),
        )
        trainer.train(loader, lambda done, total: report(done))
        weights = {name: value.cpu() for name, value in model.embedding.state_dict().items()}
        progress = trainer.progress
        found = {"state_dict": weights, "seconds": progress.seconds, "counts": progress.counts}
        with whole(path) as file:
            torch.save(found, file)
    (run_dir / CHECKPOINT).unlink(missing_ok=True)
    trained: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    model.embedding.load_state_dict(trained.pop("state_dict"))
    report(schedule.iterations)
    return trained


def embed_splits(
    run_dir: Path,
    embedding: MaskEmbedding,
    crops: Crops,
    splits: Mapping[str, tuple[Pictures, ProposalStore]],
    device: torch.device,
    report: Done,
) -> dict[str, Points]:
    """Embed the proposals of all splits, or read their embeddings.

    Args:
        run_dir: the run's folder.
        embedding: trained.
        crops: what it sees of a proposal.
        splits: pictures and proposals of each.
        device: where the embedding is.
        report: called with images done.
    """
    path = run_dir / POINTS
    if not path.is_file():
        found, before = {}, 0
        for split, (pictures, store) in splits.items():
            done = partial(_after, report, before)
            found[split] = embed_proposals(embedding, crops, pictures, store, device, done)._asdict()
            before += len(pictures.images)
        with whole(path) as file:
            torch.save(found, file)
    return {split: Points(**part) for split, part in torch.load(path, weights_only=True).items()}


def cluster(
    run_dir: Path, points: Tensor, k: int | Sequence[int], options: Mapping[str, Any], device: torch.device
) -> Clusters:
    """Cluster the points, or read their clusters.

    Args:
        run_dir: the run's folder.
        points: ``[n, D]``.
        k: number of clusters, or several of which the elbow is taken.
        options: other ones of :class:`~contrastbench.longtail.kmeans.HyperbolicKMeans`.
        device: where to.

    Raises:
        InputError: as of clustering and of the elbow.
    """
    path, names = run_dir / CLUSTERS, ("centres", "assignment", "inertia", "iterations")
    if not path.is_file():
        there = points.to(device)
        number = k if isinstance(k, int) else elbow(there, k, **options)[0]
        made = HyperbolicKMeans(number, **options).fit(there)
        values = {name: getattr(made, name) for name in names}
        plain = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in values.items()}
        with whole(path) as file:
            torch.save(plain, file)
    space = space_named(*(options.get(n, v) for n, v in (("space", "poincare"), ("c", 1.0), ("centroid", "frechet"))))
    return Clusters(**torch.load(path, weights_only=True), space=space)


def _after(report: Done, before: int, done: int) -> None:
    report(before + done)
