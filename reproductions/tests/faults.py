"""Kill the runs of a table again and again, and see that nothing is lost: python faults.py --kills 50.

Two commands compete for the same table. At random instants, and while a checkpoint or a record is being written, one of
them, both or a worker alone is killed with SIGKILL and started anew. In the end every record must be there once, and
be that of a run that nobody disturbed, to the bit. Prints what it did as JSON; exits with 1 where something differs.
"""

import argparse
import io
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))

import torch  # noqa: E402, F401 - here once, so that the commands begin at once

from contrastbench.reproductions import cli  # noqa: E402
from contrastbench.reproductions.ledger import read_record  # noqa: E402

TOYS = ["--papers", str(HERE / "papers"), "toys/table-4", f"hydra.searchpath=[file://{HERE / 'conf'}]"]
# what no two runs have in common; "git" as a commit may come between them
TIMES = ("git", "started", "wall_seconds", "peak_memory_bytes", "train_seconds", "val_seconds", "network_train_seconds")
AIMS = ("at random", "while a checkpoint is written", "while a record is written", "as a run begins")


class Command:
    """One ``reproduce run``, with all its workers a process group of its own."""

    def __init__(self, words: list[str], log: Path, kill_at: int | None = None) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            with log.open("ab") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            if kill_at is not None:
                die_at_write(kill_at)
            code = 1
            try:
                code = cli.main(["run", *words])
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)

    def ended(self) -> bool:
        found, _ = os.waitpid(self.pid, os.WNOHANG)
        return found != 0

    def wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def workers(self) -> list[int]:
        """The processes of the group but the first."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                pid, group = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()[2]
                if int(group) == self.pid and pid != self.pid:
                    found.append(pid)
        return found


def die_at_write(number: int) -> None:
    """Have this process killed just before a change to the disk: the first, the second, ..."""
    calls = itertools.count(1)

    def fatal(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*arguments, **options)

        return call

    for name in ("fsync", "mkdir", "replace", "rmdir", "unlink"):
        setattr(os, name, fatal(getattr(os, name)))


def every_write(words: list[str], folder: Path) -> dict[str, int]:
    """Kill at each change to the disk in turn, from the beginning, and let another command end it each time."""
    log, runs = folder / "log.txt", folder / "runs"
    for number in itertools.count(1):
        shutil.rmtree(runs, ignore_errors=True)
        if Command(words, log, kill_at=number).wait() == 0:
            return {"at each change to the disk": number - 1}
        if Command(words, log).wait() or records(runs / "records") != records(folder / "undisturbed/records"):
            raise SystemExit(f"killed at change {number}, it did not end as it should:\n{log.read_text()[-3000:]}")
        if list(runs.glob("work/*/state")):
            raise SystemExit(f"killed at change {number}, it left its state")
    raise AssertionError


def storm(words: list[str], folder: Path, kills: int, reach: float, dice: random.Random) -> dict[str, int]:
    """Kill so many times, then let two commands end; return how often each way."""
    log = folder / "log.txt"
    done: dict[str, int] = {}
    pair = [Command(words, log) for _ in range(2)]
    for _ in range(kills):
        aim = dice.choice(AIMS)
        if not hit(aim, folder / "runs", reach, dice):
            aim = AIMS[0]
        victim = dice.randrange(2)
        if pair[victim].ended():
            raise SystemExit(
                f"ended by itself after {done}; a longer table has more to kill:\n{log.read_text()[-3000:]}"
            )
        workers = pair[victim].workers()
        if workers and dice.random() < 0.3:
            aim = "a worker alone"
            with suppress(ProcessLookupError):
                os.kill(dice.choice(workers), signal.SIGKILL)
            # the command has to find out and end by itself
            pair[victim].wait()
            pair[victim] = Command(words, log)
        else:
            for one in (0, 1) if dice.random() < 0.2 else (victim,):
                pair[one].kill()
                pair[one] = Command(words, log)
        done[aim] = done.get(aim, 0) + 1
    for one in pair:
        one.kill()
    os.environ["TOY_PAUSE"] = "0"
    codes = [one.wait() for one in [Command(words, log) for _ in range(2)]]
    if any(codes):
        raise SystemExit(f"the last two ended with {codes}:\n{log.read_text()[-3000:]}")
    return done


def hit(aim: str, runs: Path, reach: float, dice: random.Random) -> bool:
    """Wait for the instant to kill at; False if what was aimed at did not come, and it is any instant."""
    if aim == AIMS[0]:
        if dice.random() < 0.7:
            # else it may be killed before it has begun
            wait_for_step(runs)
        time.sleep(dice.uniform(0, reach))
        return True
    if aim != AIMS[3]:
        wait_for_step(runs)
    end = time.monotonic() + 2 * reach
    before = {path: path.stat().st_mtime_ns for path in runs.glob("work/*/log.txt")}
    while time.monotonic() < end:
        if aim == AIMS[1] and any(runs.glob("work/*/state/*.partial")):
            return True
        if aim == AIMS[2] and any(fresh(runs.glob("records/*/*/*/*/.*.json.*"))):
            return True
        if aim == AIMS[3] and any(path not in before for path in runs.glob("work/*/log.txt")):
            return True
        time.sleep(0.0005)
    return False


def wait_for_step(runs: Path, seconds: float = 30) -> None:
    """Wait until somebody takes a step, however slow the machine."""
    before, end = time.time(), time.monotonic() + seconds
    while time.monotonic() < end:
        for path in runs.glob("work/*/state/checkpoint.pth"):
            with suppress(OSError):
                if path.stat().st_mtime > before:
                    return
        time.sleep(0.001)


def fresh(paths: Iterator[Path]) -> Iterator[Path]:
    """The files that have just been made, not those that a killed writer left."""
    for path in paths:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < 0.05:
                yield path


def records(folder: Path) -> dict[str, Any]:
    """Every record by its place, without what no two runs have in common."""
    return {str(path.relative_to(folder)): timeless(vars(read_record(path))) for path in folder.glob("*/*/*/*/*.json")}


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key not in TIMES}
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--every-write", action="store_true", help="instead, kill once at each change to the disk")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--reach", type=float, default=0.6, help="seconds that a command may go on before it is killed")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds of each step of the toys")
    parser.add_argument("--folder", type=Path, default=Path("faults"))
    parser.add_argument("words", nargs="*", help="a table and overrides; by default of the toys")
    options = parser.parse_args()
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = ["--format", "json", *(options.words or [*TOYS, "seeds=3", "hydra/launcher=basic"])]

    os.environ["TOY_PAUSE"] = "0"
    # what a command finds out at its beginning is known to those forked from here
    with redirect_stdout(io.StringIO()):
        cli.main(["plan", *words, f"runs={folder / 'undisturbed'}"])
    if Command([*words, f"runs={folder / 'undisturbed'}"], folder / "undisturbed.txt").wait():
        raise SystemExit((folder / "undisturbed.txt").read_text()[-3000:])
    os.environ["TOY_PAUSE"] = "0" if options.every_write else str(options.pause)
    began = time.monotonic()
    words.append(f"runs={folder / 'runs'}")
    if options.every_write:
        kills = every_write(words, folder)
    else:
        kills = storm(words, folder, options.kills, options.reach, random.Random(options.seed))
    expected, found = records(folder / "undisturbed/records"), records(folder / "runs/records")
    left = [str(path) for path in folder.glob("runs/work/*/state")]
    print(
        json.dumps(
            {
                "kills": kills,
                "seconds": round(time.monotonic() - began, 1),
                "records": len(found),
                "expected": len(expected),
                "identical": found == expected,
                "left": left,
            }
        )
    )
    return 0 if found == expected and found and not left else 1


if __name__ == "__main__":
    sys.exit(main())
