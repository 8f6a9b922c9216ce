"""How long, how fast and on what crops a segmentor is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg.transforms import META_KEYS
from contrastbench.core.hosts.schedule import Schedule


@dataclass(frozen=True)
class SegmentorSchedule(Schedule):
    """The options under ``schedule``: those of every host, and the mean of the weights.

    The pixel-contrast paper takes 40,000 iterations of 8 crops of 512x1024, by SGD, lr 0.01, momentum 0.9,
    weight_decay 0.0005; its other options are in brackets.

    Attributes:
        power: of the polynomial decay of the learning rate to zero [0.9].
        scale: range of the random resizing before the crop [0.5 to 2].
        jitter: whether to change brightness, contrast, saturation and hue at random [yes].
        average: momentum of the running mean of the weights that is evaluated, such as 0.999; None evaluates the last.
        val_batch_size: images evaluated at once; they must be the same size.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    jitter: bool = True
    average: float | None = None

    def learning_rate_config(self) -> list[dict[str, Any]]:
        """Return the learning rate's course as mmengine builds it."""
        course = [
            {
                "type": "PolyLR",
                "power": self.power,
                "eta_min": 0.0,
                "begin": self.warmup,
                # mmengine reaches the end one step early, and would spend the last one at a rate of zero.
                "end": self.iterations + 1,
                "by_epoch": False,
            }
        ]
        if self.warmup:
            course.insert(
                0, {"type": "LinearLR", "start_factor": 1e-3, "begin": 0, "end": self.warmup, "by_epoch": False}
            )
        return course

    def pipeline(self, size: tuple[int, int], own_sizes: bool = False) -> list[dict[str, Any]]:
        """Return the augmentations, as mmsegmentation builds them.

        Args:
            size: height and width of the images, which without ``crop`` is that of the crops too.
            own_sizes: whether images may differ in size, each then resized by a factor on its own.
        """
        fixed = {"type": "RandomResize", "scale": (size[1], size[0])}
        return [
            {
                **({"type": "OwnSizeRandomResize"} if own_sizes else fixed),
                "ratio_range": self.scale,
                "keep_ratio": True,
            },
            {"type": "RandomCrop", "crop_size": self.crop or size, "cat_max_ratio": 0.75},
            {"type": "RandomFlip", "prob": 0.5},
            *([{"type": "PhotoMetricDistortion"}] if self.jitter else []),
            {"type": "PackSegInputs", "meta_keys": (*META_KEYS, "sample_idx")},
        ]

    def _check(self) -> None:
        super()._check()
        if self.average is not None and not 0 < self.average < 1:
            raise InputError(f"schedule.average is {self.average}; it must be between 0 and 1, or null")
