"""Reading files of weights as detectron2 does, except that nothing in them is run."""

from __future__ import annotations

import codecs
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer

_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): codecs.encode,  # how Python 3 writes bytes for Python 2
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
}


class ArraysUnpickler(pickle.Unpickler):
    """Reads a pickle of numpy arrays, numbers and texts in dicts and lists; refuses whatever else one can name."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names, if it is a part of an array."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"weights may not name {module}.{name}") from None


class WeightsOnly(DetectionCheckpointer):
    """detectron2's checkpointer, which unpickles without looking, made to read weights alone."""

    def _load_file(self, filename: str) -> dict[str, Any]:
        if not filename.endswith(".pkl"):
            loaded: dict[str, Any] = super()._load_file(filename)
            return loaded
        with Path(filename).open("rb") as file:
            data: dict[str, Any] = ArraysUnpickler(file).load()
        if "model" in data and "__author__" in data:
            return data  # of detectron2's own zoo
        # Of Caffe2: networks for detection keep their arrays in "blobs", those for classification do not.
        arrays = {name: value for name, value in data.get("blobs", data).items() if not name.endswith("_momentum")}
        return {"model": arrays, "__author__": "Caffe2", "matching_heuristics": True}

    def _torch_load(self, file: str) -> Any:
        return torch.load(file, map_location="cpu", weights_only=True)
