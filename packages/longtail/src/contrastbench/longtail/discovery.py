"""Long-tail discovery as an experiment: from images to categories that were never annotated in training.

Weng et al., CVPR 2021, sections 3 and 4: a class-agnostic network proposes masks; their embedding is learnt from
triplets; clusters of it get the names of categories from a few annotated masks each; what is proposed on the validation
split is detected as the category of the nearest cluster, and judged on the categories the network was not trained on.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrastbench.core.data.coco import restricted
from contrastbench.core.data.instances.restriction import Selection
from contrastbench.core.errors import InputError
from contrastbench.core.writing import whole
from contrastbench.longtail.contrast import MaskContrast, Points, embed_annotations
from contrastbench.longtail.crops import Crops
from contrastbench.longtail.embedding import MaskEmbedding
from contrastbench.longtail.findings import detections, draw_anchors
from contrastbench.longtail.ground import SPLITS, Ground
from contrastbench.longtail.kmeans import Clusters, HyperbolicKMeans
from contrastbench.longtail.labels import anchor_distances, assign_labels
from contrastbench.longtail.losses import TripletLoss
from contrastbench.longtail.measuring import measure_clusters, measure_tree
from contrastbench.longtail.options import Labelling, checked, field_names, parameter_names
from contrastbench.longtail.proposing import ProposalNetwork, Report
from contrastbench.longtail.stages import cluster, embed_splits, train_embedding
from contrastbench.longtail.store import ProposalStore
from contrastbench.longtail.triplets import TripletSampler

_log = logging.getLogger(__name__)

FINDINGS, RESULTS = "findings.json", "results.json"
"""Files that a finished run leaves in its folder, beside those of :mod:`contrastbench.longtail.stages`.

``embedding.pth``: ``state_dict`` of the :class:`MaskEmbedding`. ``points.pth``: by split, ``points``, ``images`` and
``places`` as of :class:`~contrastbench.longtail.contrast.Points`. ``clusters.pth``: ``centres``, ``assignment``,
``inertia``, ``iterations``. ``findings.json``: ``categories`` (``id``, ``name``, ``known``), by cluster ``labels``
(places among the categories, -1 for novel) and ``purity``, by category ``purity_of`` (per cent), by training proposal
``true`` (places likewise, -1 where no annotation is met). ``results.json``: the detections, COCO results."""

COCO_AP: Mapping[str, Any] = {"type": "contrastbench.core.metrics.mask_ap.CocoAP"}

_PICTURE_OPTIONS = ("crop", "scale", "flip", "jitter", "val_batch_size")
_OF_EMBEDDING = ("space", "c")
_OF_NETWORK = ("AP_seg", "AP50", "parameters", "train_seconds")


class Discovery:
    """Discover categories, and measure them on the categories that are outside pre-training.

    The same arguments give the same result; on a CPU to the bit, interrupted and resumed or not, for the same number of
    threads. It runs in one process.

    Args:
        network: of the proposal network, as the host's ``InstanceTraining`` takes it.
        data: what is discovered in, as :func:`~contrastbench.core.data.instances.open_instances` takes it.
        schedule: of the proposal network, as the host's ``InstanceTraining`` takes it.
        training: of the embedding: ``iterations``, ``batch_size`` (images), ``optimizer`` and all else that
            :class:`~contrastbench.core.hosts.instance_schedule.InstanceSchedule` has and that does not concern the
            view of an image. By default 4 images a step, and the paper's Adam with a rate of 1e-4.
        known: the categories of ``data`` that count as seen in pre-training, as
            :func:`~contrastbench.core.data.instances.select_categories` takes them; all others are the long tail.
        pretraining: other data that the proposal network is trained on, all of their categories (or those that their
            own option ``categories`` selects) as one; None for ``data`` restricted to ``known``.
        proposals: as :class:`~contrastbench.core.hosts.proposing.ProposalOptions` (NMS 0.75, 50 an image).
        encoder: as :func:`~contrastbench.core.hosts.torchvision.encoder.resnet18`.
        crops: as :class:`~contrastbench.longtail.crops.Crops`.
        embedding: as :class:`~contrastbench.longtail.embedding.MaskEmbedding`; ``space`` and ``c`` hold for losses and
            clusters too.
        triplets: as :class:`~contrastbench.longtail.triplets.TripletSampler`.
        losses: as :class:`~contrastbench.longtail.losses.TripletLoss`: ``margin`` [alpha], ``mask_weight`` [beta],
            ``object_weight`` [gamma], ...
        clustering: as :class:`~contrastbench.longtail.kmeans.HyperbolicKMeans`; ``k`` [K] may be a list, of which the
            elbow is taken. By default the paper's 1,500.
        labels: as :class:`Labelling`.
        evaluators: callables that are given ground truth and results of the long tail, or mappings that name them.
        host: of the proposal network, ``"torchvision"`` or ``"detectron2"``.
        seed: of everything but the proposal network.
        proposal_seed: of the proposal network; None for ``seed``.
        threads: of the CPU; None leaves torch's own number.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        shared: folder of what runs share (see :mod:`contrastbench.longtail.proposing`); None for the cache folder.

    Raises:
        InputError: an option is unknown or impossible.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        data: Mapping[str, Any],
        schedule: Mapping[str, Any],
        training: Mapping[str, Any],
        known: Selection,
        pretraining: Mapping[str, Any] | None = None,
        proposals: Mapping[str, Any] | None = None,
        encoder: Mapping[str, Any] | None = None,
        crops: Mapping[str, Any] | None = None,
        embedding: Mapping[str, Any] | None = None,
        triplets: Mapping[str, Any] | None = None,
        losses: Mapping[str, Any] | None = None,
        clustering: Mapping[str, Any] | None = None,
        labels: Mapping[str, Any] | None = None,
        evaluators: Sequence[Mapping[str, Any] | Callable[..., Mapping[str, Any]]] = (COCO_AP,),
        host: str = "torchvision",
        seed: int = 0,
        proposal_seed: int | None = None,
        threads: int | None = None,
        device: str = "auto",
        shared: str | Path | None = None,
    ) -> None:
        from contrastbench.core.hosts.environment import find_device
        from contrastbench.core.hosts.evaluators import build_evaluators
        from contrastbench.core.hosts.instance_schedule import InstanceSchedule

        self.ground, self.seed, self.threads = Ground(data, known), seed, threads
        self.evaluators = build_evaluators(evaluators)
        self.device = find_device(device)
        # The same data, seen without the long tail.
        seen = {**data, "categories": known} if pretraining is None else dict(pretraining)
        self.network = ProposalNetwork(
            host,
            network,
            {**seen, "one_class": True},
            schedule,
            proposals or {},
            seed if proposal_seed is None else proposal_seed,
            threads,
            device,
            shared,
        )
        for name in _PICTURE_OPTIONS:
            if name in training:
                raise InputError(f"training.{name} is of no use: the embedding is trained on whole images as they are")
        defaults: dict[str, Any] = {"batch_size": 4, "optimizer": {"type": "Adam", "lr": 1e-4}}
        self.training = InstanceSchedule.read({**defaults, **training})
        self.encoder = checked("encoder", encoder, ("width", "stem_stride"))
        self.crops = Crops(**checked("crops", crops, field_names(Crops)))
        self.embedding = checked("embedding", embedding, parameter_names(MaskEmbedding, "encoder", "encoder_dim"))
        shape = {name: self.embedding[name] for name in _OF_EMBEDDING if name in self.embedding}
        self.sampler = TripletSampler(**{"seed": seed, **checked("triplets", triplets, field_names(TripletSampler))})
        self.loss = TripletLoss(**checked("losses", losses, parameter_names(TripletLoss, *_OF_EMBEDDING)), **shape)
        self.labelling = Labelling(**checked("labels", labels, field_names(Labelling)))
        own = checked("clustering", clustering, parameter_names(HyperbolicKMeans, *_OF_EMBEDDING))
        self.k: int | list[int] = own.pop("k", 1500)
        self.clustering = {"seed": seed, **own, **shape}
        for k in [self.k] if isinstance(self.k, int) else self.k:
            HyperbolicKMeans(k, **self.clustering)
        with torch.random.fork_rng(devices=[]):
            self._embedding()

    def fingerprint(self) -> str:
        """Return what names the data by content, after reading all of them once.

        Raises:
            InputError: something is wrong with the data, or no category is left for one of the two parts.
        """
        self.ground.check()
        return f"{self.ground.fingerprint()}{self.network.training.fingerprint()}"

    def store(self, split: str) -> ProposalStore:
        """Return the proposals of a split, once its network is trained."""
        return self.network.store(self.ground.fingerprint(), split, self.ground.size)

    def run(self, run_dir: Path, report: Report = lambda done, total: None) -> dict[str, Any]:
        """Discover, going on from what an interrupted run left in ``run_dir`` and in the shared folder.

        Args:
            run_dir: the run's own folder. For what is left there see :data:`FINDINGS`.
            report: called with steps done and in all: steps of the proposal network, images it proposed for, steps of
                the embedding, images embedded.

        Returns:
            What the evaluators give for the long tail, in ``evaluation`` how it was measured, and (shares in per cent)

            - ``discovered``: clusters labelled with a category of the long tail, of ``long_tail`` categories;
              ``discovered_known`` with another; ``confirmed``, those of the discovered whose most frequent true
              category is their label; ``novel``, clusters without a label; ``clusters``, all; ``inertia``;
              ``without_anchors``, categories without any annotated training mask;
            - ``purity`` of the discovered clusters, ``purity_r``, ``purity_c``, ``purity_f`` by the frequency of their
              label where the data have it, ``purity_S``, ``purity_M``, ``purity_L`` by the size of their members, and
              ``per_class``;
            - ``recall`` and ``recall_known``: annotations of the long tail and of the other categories on the
              validation split that a proposal meets with a mask IoU of one half;
            - ``parts_farther`` of ``parts`` annotated parts on the validation split, whose embedding is farther from
              the origin than their object's, where the data have parts; ``children_farther`` of ``children`` pairs of
              proposals of which one lies in the other; by chance both would be 50;
            - ``proposals`` on the training split, ``skipped`` images of it without any, ``detections``;
            - ``network_AP_seg``, ``network_AP50``, ``network_parameters`` and ``network_train_seconds`` of the proposal
              network, class-agnostic, on the validation images of what it was trained on;
            - ``counts`` of triplets in the last step; ``iterations``; ``parameters``; ``train_seconds`` of the
              embedding, over all its interruptions; ``peak_memory_bytes``.

        Raises:
            InputError: bad data or configuration, no proposal in any image, fewer proposals than clusters.
            NonFiniteLossError: a loss was NaN or infinite.
        """
        from contrastbench.core.hosts.environment import environment, peak_memory
        from contrastbench.core.hosts.evaluators import judge

        _one_process()
        ground = self.ground
        ground.check()
        run_dir.mkdir(parents=True, exist_ok=True)
        images = [len(ground.source.ground_truth(split)["images"]) for split in SPLITS]
        meter = _Meter(report, [self.network.iterations, sum(images), self.training.iterations, sum(images)])
        network = self.network.train(lambda done, total: meter(0, done))
        stores = {split: self.store(split) for split in SPLITS}
        with environment(self.seed, self.threads, self.device) as device:
            for split, before in zip(SPLITS, (0, images[0]), strict=True):
                count = partial(meter, 1, before=before)
                self.network.propose(ground.pictures(split), stores[split], device, count)
        places = self._with_proposals(stores["train"])
        # Again from the seed: whether the network was trained here or found makes no difference.
        with environment(self.seed, self.threads, self.device) as device:
            embedding = self._embedding().to(device)
            trained = train_embedding(
                run_dir,
                MaskContrast(embedding, self.crops, self.sampler, self.loss),
                self.training,
                ground.pictures("train"),
                stores["train"],
                places,
                self.seed,
                device,
                partial(meter, 2),
            )
            splits = {split: (ground.pictures(split), stores[split]) for split in SPLITS}
            points = embed_splits(run_dir, embedding, self.crops, splits, device, partial(meter, 3))
            clusters = cluster(run_dir, points["train"].points, self.k, self.clustering, device)
            labels, without = self._labels(embedding, points["train"], clusters, device)
            results = self._detections(points["val"], clusters, labels, stores["val"])
            verdict = judge(self.evaluators, restricted(ground.truth("val"), ground.long_tail), results)
            numbers, found = measure_clusters(ground, points["train"], clusters, labels, stores["train"])
            tree = measure_tree(
                ground,
                points["val"],
                stores["val"],
                lambda annotations: embed_annotations(
                    embedding, self.crops, ground.pictures("val"), annotations, device
                ),
                self.sampler.containment,
                self.sampler.area_ratio,
            )
            for name, content in ((FINDINGS, json.dumps(found)), (RESULTS, json.dumps(results, separators=(",", ":")))):
                with whole(run_dir / name) as file:
                    file.write(content.encode())
            return {
                **verdict,
                "per_class": {**verdict["per_class"], "purity": found["purity_of"]},
                "evaluation": f"{verdict['evaluation']}; {self._described()}",
                **numbers,
                **tree,
                "without_anchors": without,
                "skipped": images[0] - len(places),
                "detections": len(results),
                **{f"network_{name}": value for name, value in network.items() if name in _OF_NETWORK},
                "counts": trained["counts"],
                "iterations": self.training.iterations,
                "parameters": sum(parameter.numel() for parameter in embedding.parameters()),
                "train_seconds": trained["seconds"],
                "peak_memory_bytes": peak_memory(device),
            }

    def _embedding(self) -> MaskEmbedding:
        from contrastbench.core.hosts.torchvision.encoder import resnet18

        encoder = resnet18(**self.encoder)
        return MaskEmbedding(encoder, encoder.dim, **self.embedding)

    def _with_proposals(self, store: ProposalStore) -> list[int]:
        """Return the places of the training images that have any proposal."""
        counts = [len(store.read(image["id"])) for image in self.ground.source.train["images"]]
        places = [place for place, count in enumerate(counts) if count]
        if not places:
            raise InputError(
                f"the network proposes nothing in any of the {len(counts)} training images; train it longer "
                "(schedule.iterations), or look at the masks it learns from"
            )
        if len(places) < len(counts):
            _log.warning("%d of %d training images have no proposals", len(counts) - len(places), len(counts))
        most = self.k if isinstance(self.k, int) else max(self.k)
        if most > sum(counts):
            raise InputError(
                f"clustering.k is {most}, and the training images have {sum(counts)} proposals; ask for at most as "
                "many clusters as there are, or take more images"
            )
        return places

    def _labels(
        self, embedding: MaskEmbedding, points: Points, clusters: Clusters, device: torch.device
    ) -> tuple[Tensor, int]:
        """Return the label of each cluster ``[k]``, a place among the categories, and how many have no anchor."""
        options, ground = self.labelling, self.ground
        eligible = ground.source.category_ids if options.categories == "all" else ground.long_tail
        seed = self.seed if options.seed is None else options.seed
        anchors = draw_anchors(ground.truth("train"), eligible, options.anchors, seed)
        of = torch.tensor([ground.places[anchor["category_id"]] for anchor in anchors], dtype=torch.int64)
        embedded = embed_annotations(embedding, self.crops, ground.pictures("train"), anchors, device)
        distances = anchor_distances(points.points, clusters, embedded, of, len(ground.places))
        return assign_labels(distances, options.method), len(eligible) - len(of.unique())

    def _detections(
        self, points: Points, clusters: Clusters, labels: Tensor, store: ProposalStore
    ) -> list[dict[str, Any]]:
        if not len(points.points):
            return []
        nearest, distance = clusters.space.nearest(points.points, clusters.centres)
        ids, wanted = self.ground.source.category_ids, set(self.ground.long_tail)
        return detections(points, labels[nearest], distance, ids, wanted, store, self.labelling.nearness)

    def _described(self) -> str:
        ground = self.ground
        resolution = f"{ground.size[0]}x{ground.size[1]}" if ground.size is not None else "the images' own size"
        return (
            f"{len(ground.long_tail)} categories of the long tail, {len(ground.known_categories)} seen in "
            f"pre-training; proposals by {self.network.options.scores}; shares farther from the origin are 50 by "
            f"chance; {resolution}"
        )


class _Meter:
    """Adds up the steps of stages."""

    def __init__(self, report: Report, totals: list[int]) -> None:
        self.report, self.totals = report, totals

    def __call__(self, stage: int, done: int, before: int = 0) -> None:
        self.report(sum(self.totals[:stage]) + before + done, sum(self.totals))


def _one_process() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("discovery runs in one process; start it without torchrun")
