"""Which features of a segmentor an objective sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from contrastbench.core.errors import InputError, unknown_name


class Taps:
    """Collects features out of a running segmentor, so that nothing runs twice.

    Args:
        taps: ``"decode_input"``, indices into what the backbone (or the neck) gives, or names of modules.

    Raises:
        InputError: it is none of these.
    """

    def __init__(self, taps: str | Sequence[int] | Sequence[str]) -> None:
        listed = () if isinstance(taps, str) else tuple(taps)
        self.indices = tuple(tap for tap in listed if isinstance(tap, int))
        self.names = tuple(tap for tap in listed if isinstance(tap, str))
        if taps != "decode_input" and (not listed or listed not in (self.indices, self.names)):
            raise InputError(
                f"taps is {taps!r}; it must be 'decode_input', a list of indices into the features, or a list of names "
                "of modules, such as ['backbone.layer1', 'backbone.layer4']"
            )

    def channels(self, segmentor: Any) -> tuple[int, ...]:
        """Return the channels of each tapped feature map, read off the head or off a pass of an empty image.

        Raises:
            InputError: there is no such output or module, or a module gives no feature map.
        """
        if not self.indices and not self.names:
            channels = last_head(segmentor).in_channels
            return (channels,) if isinstance(channels, int) else tuple(channels)
        training = segmentor.backbone.training
        segmentor.eval()  # so that no statistics are taken of this image
        image = torch.zeros(1, 3, 128, 128)
        with torch.no_grad(), self.collected(segmentor) as features:
            segmentor.extract_feat(image) if self.indices else segmentor._forward(image)
        segmentor.train(training)
        return tuple(feature.shape[1] for feature in self.checked(features))

    def collected(self, segmentor: nn.Module) -> AbstractContextManager[list[Any]]:
        """Return a list that is filled while the segmentor runs inside of it; look at it through :meth:`checked`."""
        return self._outputs_of_modules(segmentor) if self.names else self._outputs_of_method(segmentor)

    def checked(self, features: Sequence[Any]) -> tuple[Tensor, ...]:
        """Return the collected feature maps.

        Raises:
            InputError: a named module did not run, or gave no feature map.
        """
        for name, feature in zip(self.names, features, strict=False):
            if feature is None:
                raise InputError(f"taps: the module '{name}' takes no part in a pass; name one of the backbone's")
            if not isinstance(feature, Tensor) or feature.dim() != 4:
                kind = f"a tensor of {feature.dim()} dimensions" if isinstance(feature, Tensor) else type(feature)
                raise InputError(
                    f"taps: the module '{name}' gives no feature map [B, C, H, W] but {kind}; name one that gives a "
                    "single map, or give indices into what the backbone gives"
                )
        return tuple(features)

    @contextmanager
    def _outputs_of_modules(self, segmentor: nn.Module) -> Iterator[list[Any]]:
        modules = dict(segmentor.named_modules())
        features: list[Any] = [None] * len(self.names)
        hooks = []
        for place, name in enumerate(self.names):
            if not name or name not in modules:
                raise unknown_name("module of the network (taps)", name, modules.keys() - {""})

            def keep(module: nn.Module, inputs: Any, output: Any, place: int = place) -> None:
                features[place] = output

            hooks.append(modules[name].register_forward_hook(keep))
        try:
            yield features
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def _outputs_of_method(self, segmentor: Any) -> Iterator[list[Any]]:
        features: list[Any] = []
        owner, method = (segmentor, "extract_feat") if self.indices else (last_head(segmentor), "_transform_inputs")
        original = getattr(owner, method)

        def recorded(inputs: Any) -> Any:
            outputs = original(inputs)
            if self.indices:
                features[:] = self._select(outputs)
            else:
                features[:] = outputs if isinstance(outputs, (list, tuple)) else [outputs]
            return outputs

        setattr(owner, method, recorded)
        try:
            yield features
        finally:
            delattr(owner, method)

    def _select(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        try:
            return tuple(features[index] for index in self.indices)
        except IndexError:
            raise InputError(f"taps {list(self.indices)}: the network gives {len(features)} feature maps") from None


def last_head(segmentor: Any) -> Any:
    """Return the decode head that predicts: the last of a cascade."""
    head = segmentor.decode_head
    return head[-1] if isinstance(head, nn.ModuleList) else head
