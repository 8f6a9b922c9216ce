"""Where a run happens: its device, its threads, its seed, the other ranks; and what it took of the memory."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import torch
import torch.distributed as dist

from contrastbench.core import memory
from contrastbench.core.errors import InputError


@contextmanager
def environment(seed: int, threads: int | None, device: torch.device) -> Iterator[torch.device]:
    """Seed torch, set the threads and count the peak of memory anew; seeds and threads are left as they were found.

    So are the generators of Python and numpy and the threads of OpenCV, which the frameworks set. Under ``torchrun``,
    join the other ranks. Yields the device of this rank.
    """
    found = torch.get_num_threads(), cv2.getNumThreads(), random.getstate(), np.random.get_state()  # noqa: NPY002
    joined = "RANK" in os.environ and not dist.is_initialized()
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    if joined:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        with torch.random.fork_rng([device.index] if device.type == "cuda" else []):
            if threads is not None:
                torch.set_num_threads(threads)
            torch.manual_seed(seed)
            memory.forget_peak()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            yield device
    finally:
        if joined:
            dist.destroy_process_group()
        torch.set_num_threads(found[0])
        cv2.setNumThreads(found[1])
        random.setstate(found[2])
        np.random.set_state(found[3])  # noqa: NPY002


def find_device(name: str) -> torch.device:
    """Return the device that ``"auto"``, ``"cpu"`` or ``"cuda"`` means here.

    Raises:
        InputError: it is another word, or there is no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device is '{name}'; it must be auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device=cuda, and torch finds no GPU here; set device=cpu, or profile=cpu")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def peak_memory(device: torch.device) -> int | None:
    """Return the peak in bytes since the environment was entered: of torch's on a GPU, else of the process's memory."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else memory.peak_memory()
