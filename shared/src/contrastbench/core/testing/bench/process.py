"""Work in a process of its own: nothing measured there is touched by what ran before it."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import torch

# Who counts threads by themselves, read when they are imported.
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


class FailedError(RuntimeError):
    """What ran in the other process raised, or the process was killed."""


def in_process(function: Callable[..., Any], *arguments: Any, threads: int) -> Any:
    """Return ``function(*arguments)`` of a fresh process with so many threads; all three must pickle.

    Raises:
        FailedError: with the error of the other process in one line.
    """
    context = mp.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(send, function, arguments, threads))
    with _counted(threads):
        process.start()
    send.close()
    try:
        worked, value = receive.recv()
    except EOFError:
        process.join()
        raise FailedError(_ended(process.exitcode)) from None
    except BaseException:
        process.terminate()
        raise
    finally:
        process.join()
        receive.close()
    if not worked:
        raise FailedError(value)
    return value


def told(error: BaseException) -> str:
    """Return an error in one line."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _child(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], threads: int) -> None:
    torch.set_num_threads(threads)
    try:
        pipe.send((True, function(*arguments)))
    except Exception as error:
        pipe.send((False, told(error)))
    except KeyboardInterrupt:
        pass  # the one who waits for this was interrupted too, and says so


def _ended(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "killed; most likely there was not enough memory"
    return f"ended without a result (exit code {code})"


@contextmanager
def _counted(threads: int) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _COUNTS}
    os.environ.update(dict.fromkeys(_COUNTS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
