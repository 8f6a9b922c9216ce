"""Dot plots as SVG: every seed a dot, the mean with its 95 % interval, the paper's gain beside it.

The same numbers give the same bytes. Colours are variables with a light and a dark value, so that a picture follows the
reader's setting on its own and the page's where it stands in one.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from contrastbench.reproductions.render import own_decimals, row_name
from contrastbench.reproductions.report import Report
from contrastbench.reproductions.tables import Claim
from contrastbench.reproductions.verdict import Interval

WIDTH, MARGIN = 400, 14
_TITLE, _TEXT, _TRACK, _AXIS = 24, 15, 24, 40
_LETTERS = 58  # of a label's line

STYLE = """\
svg.dots{--ink:#1f2328;--soft:#59636e;--rule:#d1d9e0;--reproduced:#1a7f37;--contradicted:#c6262e;--undecided:#8a5a00;\
--row:#0b62c4;--paper:#7a2ea8;font:12.5px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
@media (prefers-color-scheme:dark){svg.dots{--ink:#e6edf3;--soft:#9da7b1;--rule:#3d444d;--reproduced:#4cc565;\
--contradicted:#ff7b72;--undecided:#e0a93a;--row:#6cb2ff;--paper:#d3a1ff}}
svg.dots text{fill:var(--ink)}
svg.dots .soft{fill:var(--soft);font-size:11px}
svg.dots .head{font-weight:600}
svg.dots .rule{stroke:var(--rule);stroke-width:1}
svg.dots .zero{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}
svg.dots .reproduced{--mark:var(--reproduced)}
svg.dots .contradicted{--mark:var(--contradicted)}
svg.dots .undecided{--mark:var(--undecided)}
svg.dots .row{--mark:var(--row)}
svg.dots .interval{stroke:var(--mark);stroke-width:2}
svg.dots .mean{stroke:var(--mark);stroke-width:4}
svg.dots .seed{fill:var(--mark);fill-opacity:.35;stroke:var(--mark)}
svg.dots .paper{fill:none;stroke:var(--paper);stroke-width:1.8}
svg.dots text.paper{fill:var(--paper);stroke:none;font-size:11px}
"""


@dataclass(frozen=True)
class Line:
    """One line of a plot: what was measured by seed, what it says together, and what the paper says.

    ``kind`` is a verdict, or ``row`` for a row's own values; it chooses the colour.
    """

    label: str
    kind: str
    values: dict[int, float]
    mean: float
    interval: Interval | None
    reported: float | None = None


@dataclass(frozen=True)
class Panel:
    """Lines on one axis."""

    title: str
    lines: tuple[Line, ...]
    signed: bool
    decimals: int = 2


def gain_panels(report: Report) -> tuple[Panel, ...]:
    """Return the claims that have pairs, a panel for each metric: gains by seed beside the reported one."""
    panels = []
    for name, metric in report.table.metrics.items():
        lines = tuple(line for claim in report.claims if claim.metric == name for line in _claim_line(report, claim))
        if lines:
            panels.append(Panel(f"gain in {name} ({metric.unit})", lines, True, own_decimals(report.table, name)))
    return tuple(panels)


def row_panels(report: Report) -> tuple[Panel, ...]:
    """Return the rows that were run, a panel for each metric that was measured."""
    panels = []
    for name in report.measured:
        metric = report.table.metrics[name]
        lines = []
        for row in report.table.rows:
            found = report.rows.get(row.id)
            if found is not None and name in found.values:
                summary = found.summaries[name]
                label = row_name(report.table, row)
                lines.append(Line(label, "row", found.values[name], summary.mean, summary.interval))
        panels.append(
            Panel(
                f"{name} ({metric.unit}), {metric.better} is better",
                tuple(lines),
                False,
                own_decimals(report.table, name, report),
            )
        )
    return tuple(panels)


def draw(panels: Sequence[Panel], label: str) -> str:
    """Return panels below each other as an SVG file.

    Args:
        panels: at least one.
        label: what they show and of what, for those who do not see them.
    """
    parts: list[str] = []
    top = 4.0
    for panel in panels:
        drawn, top = _panel(panel, top)
        parts += drawn
    text = escape(label)
    box = f'viewBox="0 0 {WIDTH} {top:.0f}" width="{WIDTH}" height="{top:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="dots" {box} role="img" aria-label="{text}">'
    return "\n".join([head, f"<style>\n{STYLE}</style>", *parts, "</svg>"]) + "\n"


def _claim_line(report: Report, claim: Claim) -> list[Line]:
    verdict, table = report.verdicts[claim.id], report.table
    if verdict.difference is None:
        return []
    sign = 1.0 if table.metrics[claim.metric].better == "higher" else -1.0
    better, worse = (report.rows[row].values[claim.metric] for row in (claim.better, claim.worse))
    gains = {seed: sign * (better[seed] - worse[seed]) for seed in sorted(better.keys() & worse.keys())}
    label = " over ".join(row_name(table, table.row(row)) for row in (claim.better, claim.worse))
    return [Line(label, verdict.outcome, gains, verdict.difference, verdict.interval, claim.gain)]


def _panel(panel: Panel, top: float) -> tuple[list[str], float]:
    low, high, step = _range(panel)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))

    def x(value: float) -> float:
        return MARGIN + (value - low) / (high - low) * (WIDTH - 2 * MARGIN)

    sign = "+" if panel.signed else ""
    form = f"{sign}.{panel.decimals}f"
    y = top + _TITLE - 6
    parts = [_text(MARGIN, y, panel.title, "head")]
    start = y + 4
    for line in panel.lines:
        parts.append(f'<g class="{line.kind.replace(" ", "-")}">')
        for words in textwrap.wrap(line.label, _LETTERS) or [""]:
            y += _TEXT + 1
            parts.append(_text(MARGIN, y, words))
        y += _TRACK / 2
        parts += _track(line, y, x, form, (low, high))
        parts.append("</g>")
        y += _TRACK / 2 - 4
    rules = []
    for i in range(round((high - low) / step) + 1):
        value = low + i * step
        zero = panel.signed and abs(value) < step / 2
        rules.append(f'<path class="{"zero" if zero else "rule"}" d="M{x(value):.1f} {start:.1f}V{y + 6:.1f}"/>')
        shown = 0.0 if zero else value
        anchor = "start" if i == 0 else "end" if value > high - step / 2 else "middle"
        parts.append(_text(x(value), y + 19, f"{shown:{sign if shown else ''}.{decimals}f}", "soft", anchor))
    return [*rules, *parts], y + _AXIS


def _track(line: Line, y: float, x: Callable[[float], float], form: str, ends: tuple[float, float]) -> list[str]:
    parts = []
    if line.interval is not None:
        low, high = line.interval
        told = f"95 % interval {low:{form}} to {high:{form}}"
        parts.append(_titled(f'<path class="interval" d="M{x(low):.1f} {y:.1f}H{x(high):.1f}"', "path", told))
    for seed, value in line.values.items():
        dot = f'<circle class="seed" cx="{x(value):.1f}" cy="{y:.1f}" r="4"'
        parts.append(_titled(dot, "circle", f"seed {seed}: {value:{form}}"))
    told = f"mean {line.mean:{form}}"
    parts.append(_titled(f'<path class="mean" d="M{x(line.mean):.1f} {y - 7:.1f}V{y + 7:.1f}"', "path", told))
    if line.reported is not None:
        parts += _reported(line.reported, y, x, ends)
    return parts


def _reported(value: float, y: float, x: Callable[[float], float], ends: tuple[float, float]) -> list[str]:
    """Return the paper's mark: a diamond, or an arrow with the number where it lies beyond the axis."""
    told = f"reported {value:+g}"
    if ends[0] <= value <= ends[1]:
        return [_titled(f'<path class="paper" d="M{x(value):.1f} {y - 7:.1f}l6 7l-6 7l-6 -7z"', "path", told)]
    right = value > ends[1]
    edge, way = (WIDTH - 4, -1) if right else (4, 1)
    arrow = f'<path class="paper" d="M{edge + 6 * way:.1f} {y - 5:.1f}l{-6 * way} 5l{6 * way} 5"'
    anchor = "end" if right else "start"
    return [_titled(arrow, "path", told), _text(edge + 10 * way, y - 6, f"reported {value:+g}", "paper", anchor)]


def _range(panel: Panel) -> tuple[float, float, float]:
    """Return the ends of the axis and the step of its ticks: what was measured, and what was reported if it is near."""
    found = [value for line in panel.lines for value in (*line.values.values(), *(line.interval or ()))]
    if panel.signed:
        found.append(0.0)
    low, high = min(found), max(found)
    reach = max(high - low, 1e-9)
    near = [r for line in panel.lines if (r := line.reported) is not None and low - reach <= r <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    span = high - low or max(abs(high), 1.0) * 0.1
    raw = span / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    start, end = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return start, end if end > start else start + step, step


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    shown = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{shown}>{escape(text, quote=False)}</text>'


def _titled(opening: str, tag: str, text: str) -> str:
    return f"{opening}><title>{escape(text, quote=False)}</title></{tag}>"
