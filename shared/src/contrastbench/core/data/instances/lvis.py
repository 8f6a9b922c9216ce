"""LVIS as it is distributed: its own annotations, COCO's images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrastbench.core.data.coco import read_ground_truth
from contrastbench.core.data.instances.source import SPLITS, InstanceSource, instance_source
from contrastbench.core.data.sources.files import root_folder
from contrastbench.core.errors import InputError, unknown_name

_VERSIONS = ("v0.5", "v1")


def lvis(root: str | Path | None = None, version: str = "v1") -> InstanceSource:
    """Return LVIS.

    Args:
        root: folder with ``annotations/lvis_<version>_{train,val}.json``, and COCO's ``train2017`` and ``val2017``.
        version: ``"v1"``, or ``"v0.5"``, which Weng et al. (CVPR 2021) measure on.

    Raises:
        InputError: no such version, a file is missing, or the annotations are not as they must be.
    """
    if version not in _VERSIONS:
        raise unknown_name("version of lvis (data.version)", str(version), _VERSIONS)
    folder = root_folder("LVIS", root, f"annotations/lvis_{version}_train.json, ..._val.json, train2017 and val2017")
    truth = {split: _read(folder / "annotations" / f"lvis_{version}_{split}.json", split) for split in SPLITS}
    return instance_source("lvis", folder, truth["train"], truth["val"], dict.fromkeys(SPLITS, folder))


def _read(path: Path, split: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = [{**image, "file_name": _file_name(image, split)} for image in content["images"]]
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error}); expected LVIS's annotations of {split}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' does not hold LVIS's annotations: {error!r}") from error
    return read_ground_truth({**content, "images": images})


def _file_name(image: Mapping[str, Any], split: str) -> str:
    """Return an image's place among COCO's: version 1 has some of train2017 in its validation split and says so."""
    if "coco_url" in image:
        return "/".join(str(image["coco_url"]).split("/")[-2:])
    # version 0.5 has the names of 2014: COCO_val2014_000000000139.jpg
    return f"{split}2017/{str(image['file_name']).rpartition('_')[2]}"
