"""From crops to points of the ball (Weng et al., CVPR 2021, sections 3.2 and 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from contrastbench.core.errors import require_number, unknown_name
from contrastbench.longtail.geometry import expmap0

_SPACES = ("poincare", "euclidean")


class MaskEmbedding(nn.Module):
    """An encoder, fully connected layers, and the exponential map at the origin [f].

    The paper has layers of 256 and 64 and then a ball of two dimensions: read here as two hidden layers and a last,
    linear one that brings 64 to 2. The released code has one hidden layer of 256 and a ball of 256 dimensions, and
    starts all weights within 1e-4, so that training begins with every point at the origin.

    Args:
        encoder: from crops ``[n, 3, S, S]`` to features ``[n, encoder_dim]``, such as
            ``contrastbench.core.hosts.torchvision.encoder.resnet18``.
        encoder_dim: of the encoder's features.
        hidden: widths of the fully connected layers before the last, each followed by a ReLU.
        ball_dim: D, dimensions of the space.
        c: the ball's curvature is -c.
        space: ``"poincare"``, or ``"euclidean"`` for what the last layer gives as it is.
        initial: bound of the uniform distribution that weights and biases of the layers start from; None for
            PyTorch's own.
        freeze_encoder: leave the encoder's weights as they are. Its normalisation still follows the crops in training
            mode, as in the released code; an untrained one would be far off otherwise.

    Raises:
        InputError: an unknown space, or a number out of its range.
    """

    def __init__(
        self,
        encoder: nn.Module,
        encoder_dim: int,
        *,
        hidden: Sequence[int] = (256, 64),
        ball_dim: int = 2,
        c: float = 1.0,
        space: Literal["poincare", "euclidean"] = "poincare",
        initial: float | None = None,
        freeze_encoder: bool = False,
    ) -> None:
        super().__init__()
        if space not in _SPACES:
            raise unknown_name("space", str(space), _SPACES)
        for name, value in (("encoder_dim", encoder_dim), ("ball_dim", ball_dim), *(("hidden", h) for h in hidden)):
            require_number(name, value, least=1, whole=True)
        require_number("c", c, above=0)
        require_number("initial", 1.0 if initial is None else initial, above=0)
        self.encoder, self.freeze_encoder = encoder, freeze_encoder
        self.ball_dim, self.c, self.space = ball_dim, c, space
        layers: list[nn.Module] = []
        for width, following in pairwise([encoder_dim, *hidden]):
            layers += [nn.Linear(width, following), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear([encoder_dim, *hidden][-1], ball_dim))
        if initial is not None:
            for parameter in self.layers.parameters():
                nn.init.uniform_(parameter, -initial, initial)
        if freeze_encoder:
            encoder.requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        """Embed crops ``[n, 3, S, S]`` (float); n may be 0.

        Returns:
            [z] ``[n, ball_dim]`` (float64): in the ball, never farther than 12.2 from the origin (c = 1; see
            :func:`~contrastbench.longtail.geometry.expmap0`), or anywhere in Euclidean space.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_encoder):
            features: Tensor = self.encoder(crops)
        with torch.autocast(crops.device.type, enabled=False):
            vectors = self.layers(features.to(next(self.layers.parameters()).dtype)).double()
            return vectors if self.space == "euclidean" else expmap0(vectors, self.c)
