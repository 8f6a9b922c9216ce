"""One experiment on several processes of a machine, one for each GPU, joined by torch.distributed.

Hosts find the other ranks by the environment, as under ``torchrun``. Unlike its, these processes die with the one
that started them, however that ends: nobody is left to write into a folder that the next run takes up.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrastbench.core.errors import InputError
from contrastbench.reproductions.experiment import Report, build

PROCESSES = "_processes_"
"""Key of an experiment's configuration that is the engine's: on how many processes it runs. One where it is absent."""

_Message = tuple[int, dict[str, Any] | None]


def run_experiment(config: Mapping[str, Any], state: Path, report: Report, log: Path) -> dict[str, Any]:
    """Run an experiment, here or on as many processes as its configuration says, and return its metrics.

    Args:
        config: as :func:`~contrastbench.reproductions.experiment.build` takes it.
        state: the experiment's folder.
        report: told of progress, on several processes that of the first rank.
        log: file that gets what other processes print.

    Raises:
        InputError: bad configuration or data.
        RuntimeError: a rank failed; the log says why.
    """
    world = config.get(PROCESSES, 1)
    if not isinstance(world, int) or isinstance(world, bool) or world < 1:
        raise InputError(f"processes={world}: expected a number of processes from 1")
    if world == 1:
        return build(config).run(state, report)
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(world)}
    task = json.dumps({"config": config, "state": str(state)})
    ranks: list[subprocess.Popen[str]] = []
    listeners: list[threading.Thread] = []
    messages: queue.Queue[_Message] = queue.Queue()
    try:
        with log.open("a", encoding="utf-8") as errors:
            for rank in range(world):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                ranks.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "contrastbench.reproductions.ranks"],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=errors,
                        env={**os.environ, **common, **own},
                        text=True,
                    )
                )
                listeners.append(threading.Thread(target=_hear, args=(rank, ranks[rank], task, messages), daemon=True))
                listeners[rank].start()
        return _metrics(ranks, messages, report)
    finally:
        for process in ranks:
            process.kill()
        for process, listener in zip(ranks, listeners, strict=False):
            process.wait()
            listener.join()
            _close(process)


def _metrics(ranks: list[subprocess.Popen[str]], messages: queue.Queue[_Message], report: Report) -> dict[str, Any]:
    """Return the metrics of the first rank once all have ended; whoever fails first ends it."""
    metrics: dict[str, Any] | None = None
    running = len(ranks)
    while running:
        rank, said = messages.get()
        if said is None:
            running -= 1
            code = ranks[rank].wait()
            if code:
                raise RuntimeError(f"the process of rank {rank} ended with exit code {code}")
        elif "error" in said:
            if said["input"]:
                raise InputError(said["error"])
            if said["errno"] is not None:
                raise OSError(said["errno"], said["error"])
            raise RuntimeError(f"rank {rank}: {said['error']}")
        elif rank == 0 and "metrics" in said:
            metrics = said["metrics"]
        elif rank == 0:
            report(said["step"], said["total"])
    if metrics is None:
        raise RuntimeError("the process of rank 0 ended without metrics")
    return metrics


def _hear(rank: int, process: subprocess.Popen[str], task: str, messages: queue.Queue[_Message]) -> None:
    """Tell a rank what to do, and pass on what it says; None when it has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # left open: its end tells the rank that we are gone
        process.stdin.write(f"{task}\n")
        process.stdin.flush()
        for line in process.stdout:
            messages.put((rank, json.loads(line)))
    except (OSError, ValueError):
        pass  # its exit code says the rest
    messages.put((rank, None))


def _close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> int:
    """Be one rank: take the task from standard input, and say in lines of JSON how it goes."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's to act on
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log

    def say(**message: Any) -> None:
        out.write(f"{json.dumps(message)}\n")
        out.flush()

    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_watch_parent, daemon=True).start()
    try:
        metrics = build(task["config"]).run(Path(task["state"]), lambda step, total: say(step=step, total=total))
    except Exception as error:
        traceback.print_exc()
        told = str(error) if isinstance(error, (InputError, OSError)) else f"{type(error).__name__}: {error}"
        say(error=told, input=isinstance(error, InputError), errno=getattr(error, "errno", None))
        # not by way of destructors, which wait for the other ranks
        os._exit(1)
    say(metrics=metrics)
    return 0


def _die_with_parent() -> None:
    """Have the kernel kill this process at the instant its parent dies, where it can."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _watch_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
