"""What an objective sees of a finished run: features, logits and labels, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from contrastbench.core.data.sources import open_source
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.environment import environment
from contrastbench.core.hosts.mmseg.dataset import SourceDataset
from contrastbench.core.hosts.mmseg.network import build_segmentor
from contrastbench.core.hosts.mmseg.seat import PREFIX
from contrastbench.core.hosts.mmseg.training import OBJECTIVE, SemanticTraining
from contrastbench.core.hosts.mmseg.transforms import PackEvaluated
from contrastbench.core.hosts.outcome import load_weights, read_weights
from contrastbench.core.hosts.resolution import read_size


class Observed(NamedTuple):
    """The arguments of a :class:`~contrastbench.core.objectives.SemanticObjective`."""

    features: tuple[Tensor, ...]
    logits: Tensor
    labels: Tensor
    image_index: Tensor


@contextmanager
def observing(
    training: SemanticTraining, run_dir: Path, split: str = "val"
) -> Iterator[tuple[nn.Module, Iterator[Observed]]]:
    """Yield a finished run's objective, and its arguments for the images of a split.

    Network and objective are in evaluation mode, and nothing has a gradient. Images are seen whole, in batches of the
    training's size; the last ones, too few for a batch, are left out.

    Args:
        training: the experiment.
        run_dir: folder of its finished run.
        split: ``"train"`` or ``"val"``.

    Raises:
        InputError: the experiment has no objective, or the folder holds no weights of it.
    """
    if training.objective is None:
        raise InputError("the row has no objective, so there is nothing that sees its features; name another row")
    source = open_source(training.data)
    with (
        environment(training.seed, training.threads, training.device) as device,
        DefaultScope.overwrite_default_scope("mmseg"),
        torch.no_grad(),
    ):
        dataset = SourceDataset(source, split, read_size(training.data), [PackEvaluated()], test_mode=True)
        model: Any = build_segmentor(
            {**training.network, "pretrained": None}, training.objective, source, (1, 1), False
        )
        state = read_weights(run_dir)
        state |= {PREFIX + name: value for name, value in read_weights(run_dir, OBJECTIVE).items()}
        load_weights(model, state, run_dir)
        model.to(device).eval()

        yield cast(nn.Module, model.objective), _batches(model, dataset, training.schedule.batch_size, device)


def _batches(model: Any, dataset: SourceDataset, size: int, device: torch.device) -> Iterator[Observed]:
    for first in range(0, len(dataset) - size + 1, size):
        samples = [dataset[first + place] for place in range(size)]
        data = [sample["data_samples"].clone() for sample in samples]
        batch = {"inputs": [sample["inputs"] for sample in samples], "data_samples": data}
        inputs = model.data_preprocessor(batch, False)["inputs"]
        with model.tapped() as (collected, logits):
            model._forward(inputs)
        labels = torch.cat([sample.gt_sem_seg.data for sample in data]).long().to(device)
        index = torch.arange(first, first + size, device=device)
        yield Observed(model.taps.checked(collected), logits[-1], labels, index)
