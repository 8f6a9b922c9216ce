"""Assignment to the nearest of 1,500 centres in the ball: argmin over geoopt's distance beside ours, in one run.

    python packages/longtail/benchmarks/clustering.py [--record]

20,000 points of the paper's dimension, 2; then ours alone up to a million points, and in 64 dimensions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from contrastbench.core.testing.measure import Cost, measure
from contrastbench.longtail.geometry import distance, expmap0, nearest_centre

POINTS, CENTRES, DIM = 20_000, 1500, 2
GROWTH = ((20_000, 2), (200_000, 2), (1_000_000, 2), (20_000, 64), (1_000_000, 64))
ROWS = 1000  # points that geoopt's distance is computed for at a time: each of its steps on all would hold 480 MB
RESULTS = Path(__file__).parent / "results"


def problem(points: int = POINTS, dim: int = DIM) -> tuple[Tensor, Tensor]:
    """Return points ``[n, D]`` and centres ``[k, D]`` at distances of about 4 from the origin."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(points + CENTRES, dim, dtype=torch.float64, generator=generator)
    x = expmap0(v * (2 / dim**0.5))
    return x[:points], x[points:].clone()


def geoopts(inputs: tuple[Tensor, Tensor]) -> list[int]:
    """Return the argmin over geoopt's distance, a thousand points at a time."""
    import geoopt

    points, centres = inputs
    ball = geoopt.PoincareBall(c=torch.tensor(1.0, dtype=torch.float64))
    return torch.cat([ball.dist(x[:, None], centres).argmin(1) for x in points.split(ROWS)]).tolist()


def ours(inputs: tuple[Tensor, Tensor]) -> list[int]:
    """Return the nearest centres by a screened product."""
    return nearest_centre(*inputs)[0].tolist()


def count(inputs: tuple[Tensor, Tensor]) -> int:
    """Assign, and return how many points were: a result that costs nothing to send."""
    return len(nearest_centre(*inputs)[0])


def _figures(cost: Cost) -> dict[str, float]:
    return {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds, "extra_bytes": cost.extra_bytes}


def run(threads: int) -> dict[str, Any]:
    """Measure all; refuse to compare what does not agree."""
    mine, theirs = (measure(problem, f, threads=threads) for f in (ours, geoopts))
    points, centres = problem()
    a, b = distance(points, centres[mine.value]), distance(points, centres[theirs.value])
    worse = float((a / b - 1).max())
    if worse > 1e-7:
        raise SystemExit(
            f"a centre is farther than geoopt's by {worse:.1e} of its distance: no speed is worth comparing"
        )
    growth = []
    for n, dim in GROWTH:
        cost = measure(partial(problem, n, dim), count, repeats=2 if n < 1_000_000 else 1, threads=threads)
        growth.append({"points": n, "dim": dim, **_figures(cost)})
    return {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": threads},
        "torch": torch.__version__,
        "centres": CENTRES,
        "different": sum(i != j for i, j in zip(mine.value, theirs.value, strict=True)),
        "largest_relative_difference": worse,
        "geoopt": _figures(theirs),
        "nearest_centre": _figures(mine),
        # of the work, so that a busy machine does not matter
        "speed_up": theirs.cpu_seconds / mine.cpu_seconds,
        "growth": growth,
    }


def main() -> None:
    """Print the table; write the record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--record", action="store_true", help=f"write the measurements to {RESULTS.name}/ beside this")
    arguments = parser.parse_args()
    result = run(arguments.threads)
    table = Table(title=f"{CENTRES:,} centres, float64, {arguments.threads} threads, torch {result['torch']}")
    for column in ("", "seconds", "CPU seconds", "extra memory, GB"):
        table.add_column(column, justify="right" if column else "left")
    rows = [(f"geoopt's distance, {POINTS:,} x {DIM}", result["geoopt"])]
    rows.append((f"nearest_centre, {POINTS:,} x {DIM}", result["nearest_centre"]))
    rows += [(f"nearest_centre, {g['points']:,} x {g['dim']}", g) for g in result["growth"]]
    for name, cost in rows:
        table.add_row(name, f"{cost['seconds']:.2f}", f"{cost['cpu_seconds']:.2f}", f"{cost['extra_bytes'] / 1e9:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"nearest_centre: 1/{result['speed_up']:.0f} of the CPU seconds; "
        f"{result['different']} of {POINTS:,} points have another centre than by geoopt's distance, none a farther one"
    )
    if arguments.record:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"clustering-cpu-{arguments.threads}-threads.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
