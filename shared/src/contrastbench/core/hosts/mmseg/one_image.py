"""What a network makes of one image, before its training and after."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from contrastbench.core.data.sources import SegmentationSource, open_source
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.environment import environment
from contrastbench.core.hosts.mmseg.dataset import SourceDataset
from contrastbench.core.hosts.mmseg.inference import predict
from contrastbench.core.hosts.mmseg.network import build_segmentor
from contrastbench.core.hosts.mmseg.training import SemanticTraining
from contrastbench.core.hosts.mmseg.transforms import PackEvaluated
from contrastbench.core.hosts.outcome import load_weights, read_weights
from contrastbench.core.hosts.resolution import read_size


@dataclass(frozen=True)
class Seen:
    """One image at the resolution it is evaluated at.

    Attributes:
        image: ``[H, W, 3]`` (uint8, RGB).
        labels: ``[H, W]`` (int64), the truth, with the ignore index.
        predictions: ``[H, W]`` (int64) each, the predicted classes by stage, in the order asked for.
        source: the data.
    """

    image: Tensor
    labels: Tensor
    predictions: dict[str, Tensor]
    source: SegmentationSource


def see(training: SemanticTraining, stages: dict[str, Path | None], split: str = "val", index: int = 0) -> Seen:
    """Let an experiment's network predict one image at several stages of its training.

    Args:
        training: the experiment.
        stages: by name, the folder of a finished run of this network, or None for its weights before training.
        split: ``"train"`` or ``"val"``.
        index: the image's place in the split.

    Raises:
        InputError: there is no such image, or a folder holds no weights of this network.
    """
    source = open_source(training.data)
    if not 0 <= index < len(source.pairs(split)):
        count = len(source.pairs(split))
        raise InputError(f"there is no image {index} in {split} of {source.name}; expected 0 to {count - 1}")
    with (
        environment(training.seed, training.threads, training.device) as device,
        DefaultScope.overwrite_default_scope("mmseg"),
    ):
        dataset = SourceDataset(source, split, read_size(training.data), [PackEvaluated()], test_mode=True)
        sample = dataset[index]
        predictions = {}
        for name, run_dir in stages.items():
            torch.manual_seed(training.seed)
            model = _network(training, source, run_dir).to(device).eval()
            batch = {"inputs": [sample["inputs"].to(device)], "data_samples": [sample["data_samples"].clone()]}
            [classes], _ = predict(model, batch, training.evaluation.passes)
            predictions[name] = classes.cpu()
    image = sample["inputs"].flip(0).permute(1, 2, 0).contiguous()  # mmsegmentation has blue first
    return Seen(image, sample["data_samples"].gt_sem_seg.data[0].long(), predictions, source)


def _network(training: SemanticTraining, source: SegmentationSource, run_dir: Path | None) -> nn.Module:
    if run_dir is None:
        model = build_segmentor(training.network, None, source, (1, 1), False)
        before = logging.root.manager.disable
        logging.disable(logging.INFO)  # mmengine tells of every weight it draws
        try:
            model.init_weights()  # type: ignore[operator]  # of mmengine's modules
        finally:
            logging.disable(before)
        return model
    state = read_weights(run_dir)
    model = build_segmentor({**training.network, "pretrained": None}, None, source, (1, 1), False)
    load_weights(model, state, run_dir)
    return model
