"""The steps of a run in detectron2, resumable to the bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from detectron2.solver.build import get_default_optimizer_params
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from contrastbench.core.hosts.detectron2.seat import PREFIX
from contrastbench.core.hosts.trainer import Report, Trainer


class DetectronTrainer(Trainer):
    """Takes the steps of a run of a detector of detectron2, and keeps what it counts in an event storage.

    Weights of normalisation layers do not decay, as detectron2 has it, nor do the relative positions of a Swin
    Transformer, as its authors have it. See :class:`~contrastbench.core.hosts.trainer.Trainer`.
    """

    storage: EventStorage

    def train(self, batches: Iterable[Any], report: Report) -> None:
        """Take the steps that are left. See ``Trainer.train``."""
        with EventStorage(self.progress.step) as self.storage:
            super().train(batches, report)

    def parameters(self) -> Iterable[Any]:
        """Return the weights in groups of the same decay."""
        groups: list[dict[str, Any]] = get_default_optimizer_params(
            self.model, weight_decay_norm=0.0, overrides={"relative_position_bias_table": {"weight_decay": 0.0}}
        )
        return groups

    def losses(self, model: nn.Module, batch: list[Any]) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return the losses of a batch by name, and its images."""
        self.storage.iter = self.progress.step
        return model(batch), {f"images[{place}]": sample["image"] for place, sample in enumerate(batch)}

    def counts(self) -> dict[str, float]:
        """Return what the objective last counted."""
        latest = self.storage.latest()
        return {n.removeprefix(PREFIX): value for n, (value, _) in latest.items() if n.startswith(PREFIX)}
