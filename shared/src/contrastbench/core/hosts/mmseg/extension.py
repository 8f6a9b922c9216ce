"""A stand-in for ``mmcv._ext``, the compiled operations of full mmcv.

mmsegmentation imports ``mmcv.ops`` for a few of its heads, and that imports ``mmcv._ext``, which mmcv-lite does not
have. Nothing of it is needed to train the networks here, so importing it must work and calling it must not.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

NAME = "mmcv._ext"


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        # Python itself asks modules for names like __path__.
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> NoReturn:
            raise NotImplementedError(
                f"'{name}' is a compiled operation of full mmcv, and mmcv-lite is installed; "
                "replace mmcv-lite by mmcv 2.1.0 to use it"
            )

        return missing


def stand_in() -> None:
    """Put the stand-in where ``mmcv._ext`` is absent. Full mmcv, when installed, is left alone."""
    if NAME in sys.modules or importlib.util.find_spec(NAME) is not None:
        return
    module = _StandIn(NAME)
    module.__spec__ = ModuleSpec(NAME, loader=None)
    sys.modules[NAME] = module
