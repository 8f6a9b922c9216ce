"""Where a number comes from: versions, the revision of the source, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

NAMING = ("torch", "torchvision", "numpy", "mmsegmentation", "mmengine", "mmcv", "mmcv-lite")
"""The distributions whose version is part of a run's name: with another, the numbers may change."""

REPORTED = (*NAMING, "contrastbench-core", "contrastbench-pixel-contrast", "contrastbench-reproductions")
"""The distributions that a record lists, where they are installed."""

INSTALLED = (
    *REPORTED, "contrastbench-contextrast", "contrastbench-dcl", "contrastbench-longtail", "detectron2", "geoopt",
    "hydra-core", "lvis", "opencv-python", "pycocotools", "scikit-learn", "scipy", "triton",
)  # fmt: skip
"""The distributions that ``reproduce env`` lists, where they are installed."""


def versions(distributions: tuple[str, ...] = REPORTED) -> dict[str, str]:
    """Return the installed versions of the given distributions; those that are not installed are left out."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def revision() -> dict[str, Any]:
    """Return the git revision of this source tree and whether it has changes; both None outside of one."""
    here = Path(__file__)
    # a package installed into some other project's repository is not of that project's revision
    if _git("ls-files", "--error-unmatch", here.name) is None:
        return {"revision": None, "dirty": None}
    head = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {"revision": head, "dirty": None if status is None else bool(status)}


def machine(device: str = "cpu", threads: int | None = None) -> dict[str, Any]:
    """Return what ran it: the device, and the processor with its number of cores and threads used."""
    return {
        "device": device_name(device),
        "processor": processor(),
        "cores": cores(),
        "threads": threads,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def environment() -> dict[str, Any]:
    """Return what a bug report should hold: versions, machine, source revision."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "python": platform.python_version(),
        "versions": versions(INSTALLED),
        **machine(device),
        "memory_bytes": memory_bytes(),
        "git": revision(),
    }


def cores() -> int:
    """Return the number of cores this process may use, cgroup limits respected."""
    import joblib

    return int(joblib.cpu_count())


def device_name(device: str) -> str:
    """Return a device by its maker's name where it is a GPU, as given otherwise."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(torch.device(device))
    return device


def memory_bytes() -> int | None:
    """Return the machine's memory, where the system tells it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


@cache
def processor() -> str:
    """Return the processor's name as its maker gives it, where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
