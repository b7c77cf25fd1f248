"""Plots as inline SVG: lines over a common axis, ranges on a logarithmic one. No script, no network.

Colours are CSS classes (`s0` … `s7`), so the page decides them for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

SERIES_COLOURS = 8
TICK_DECIMALS = 12
SMALLEST_SPAN = 1e-10
"""Below it five ticks would coincide at TICK_DECIMALS."""
SMALLEST_SHARE = 1e-14
"""A span this small beside its values is some tens of steps of a double's 53 bits: not to be divided."""
_WIDTH, _HEIGHT = 760, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 26
_CHARACTER = 7
"""The width of one in a label."""
_ROW = 24
_LABEL = 170


class Line(NamedTuple):
    """One series; x and y have equal lengths, x never falls."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


class Range(NamedTuple):
    """One row of a range plot: marks from the lowest to the highest, and a reference (None: none)."""

    name: str
    marks: Sequence[tuple[str, float]]
    reference: float | None = None


class Mark(NamedTuple):
    """A triangle on a plot of lines, pointing up or down."""

    x: float
    y: float
    up: bool
    tip: str


def lines(
    series: Sequence[Line],
    *,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
    title: str,
    marks: Sequence[Mark] = (),
) -> str:
    """A plot with a line for each series and its legend below; "" when nothing is to be drawn."""
    drawn = [line for line in series if len(line.x) > 1]
    if not drawn:
        return ""
    x_low, x_high = min(line.x[0] for line in drawn), max(line.x[-1] for line in drawn)
    values = [value for line in drawn for value in (min(line.y), max(line.y))]
    values += [mark.y for mark in marks]
    ticks = nice_ticks(min(values), max(values))
    x_of = _scale(x_low, x_high, _LEFT, _WIDTH - _RIGHT)
    y_of = _scale(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    parts = [_open(_WIDTH, _HEIGHT, title)]
    for tick in ticks:
        y = y_of(tick)
        style = "zero" if tick == 0 else "grid"
        parts.append(f'<line class="{style}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 4, y_text(tick), "end"))
    steps = _steps(max(len(x_text(x_low)), len(x_text(x_high))))
    for step in range(steps + 1):
        value = x_low + (x_high - x_low) * step / steps
        anchor = "start" if step == 0 else "end" if step == steps else "middle"
        parts.append(_text(x_of(value), _HEIGHT - 8, x_text(value), anchor))
    for index, line in enumerate(drawn):
        points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in zip(line.x, line.y, strict=True))
        parts.append(
            f'<polyline class="line s{index % SERIES_COLOURS}" points="{points}">{_tip(line.name)}</polyline>'
        )
    for mark in marks:
        x, y = x_of(mark.x), y_of(mark.y)
        shape = f"M{x - 4:.1f} {y + 9:.1f}h8l-4 -7z" if mark.up else f"M{x - 4:.1f} {y - 9:.1f}h8l-4 7z"
        parts.append(f'<path class="{"buy" if mark.up else "sell"}" d="{shape}">{_tip(mark.tip)}</path>')
    parts.append("</svg>")
    return "".join(parts) + _legend([line.name for line in drawn])


def ranges(rows: Sequence[Range], *, x_text: Callable[[float], str], title: str) -> str:
    """Each row's marks on a common logarithmic axis, joined by a bar; a diamond is the reference."""
    values = [value for row in rows for _, value in row.marks if value > 0]
    values += [row.reference for row in rows if row.reference]
    if not values:
        return ""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    height = _TOP + _ROW * len(rows) + _BOTTOM
    scale = _scale(low, high, _LABEL, _WIDTH - 4 * _RIGHT)
    parts = [_open(_WIDTH, height, title)]
    for power in range(low, high + 1):
        x = scale(power)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - _BOTTOM}"/>')
        parts.append(_text(x, height - 8, x_text(10.0**power), "middle"))
    for index, row in enumerate(rows):
        parts += _range_row(
            row, _TOP + _ROW * index + _ROW // 2, lambda value: scale(math.log10(value)), x_text
        )
    parts.append("</svg>")
    return "".join(parts)


def _range_row(
    row: Range, y: int, x_of: Callable[[float], float], x_text: Callable[[float], str]
) -> list[str]:
    parts = [_text(_LABEL - 10, y + 4, row.name, "end")]
    marks = [(name, value) for name, value in row.marks if value > 0]
    if marks:
        start, end = x_of(marks[0][1]), x_of(marks[-1][1])
        parts.append(f'<line class="bar" x1="{start:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}"/>')
    for index, (name, value) in enumerate(marks):
        tip = _tip(f"{row.name} {name}: {x_text(value)}")
        colour = f"s{index % SERIES_COLOURS}"
        parts.append(f'<circle class="dot {colour}" cx="{x_of(value):.1f}" cy="{y}" r="5">{tip}</circle>')
    if row.reference:
        x = x_of(row.reference)
        tip = _tip(f"{row.name}, reference: {x_text(row.reference)}")
        parts.append(f'<path class="reference" d="M{x:.1f} {y - 6}l6 6l-6 6l-6 -6z">{tip}</path>')
    return parts


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) that enclose `low` and `high`.

    A span too small to divide is drawn as a point: its ticks reach half its size to either side.
    """
    size = max(abs(low), abs(high))
    if not high - low > max(SMALLEST_SPAN, SMALLEST_SHARE * size):
        around = size / 2 if size > SMALLEST_SPAN else 0.5
        low, high = low - around, low + around
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, TICK_DECIMALS) for index in range(first, last + 1)]


def _steps(characters: int) -> int:
    """Into how many an axis is divided so that labels of so many characters stand apart: the last one and the
    one before it take a label and a half."""
    room = (_WIDTH - _LEFT - _RIGHT) / (1.6 * characters * _CHARACTER)
    return max(1, min(int(room), 5))


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _open(width: int, height: int, title: str) -> str:
    name = escape(title, quote=True)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{name}">'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _tip(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _legend(names: Sequence[str]) -> str:
    items = (
        f'<span><i class="s{index % SERIES_COLOURS}"></i>{escape(name)}</span>'
        for index, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(items)}</p>'
