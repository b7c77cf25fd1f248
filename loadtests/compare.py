"""Two reports side by side: what is worse in the second than in the first? Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from loadtests.report import Report
from pipeline.errors import UsageError
from pipeline.plotting.tables import Table, milliseconds, rate

MARGIN_PERCENT = 20.0
"""Two runs of the same code on a shared machine differ by less, mostly."""


class Difference(Struct, frozen=True, kw_only=True):
    """One figure of both. `worse`: beyond the margin, in the wrong direction."""

    name: str
    unit: str
    before: float | None
    after: float | None
    worse: bool


class Comparison(Struct, frozen=True, kw_only=True):
    """`ok`: nothing is worse beyond the margin, and no gate that was met is violated now."""

    ok: bool
    shape: str
    margin_percent: float
    differences: tuple[Difference, ...]
    turned: tuple[str, ...]
    """Gates that A met and B violates."""


def compare(a: Report, b: Report, margin_percent: float = MARGIN_PERCENT) -> Comparison:
    """Raises UsageError when the two are of different tests."""
    one, other = a.facts.shape, b.facts.shape
    if one != other:
        raise UsageError(f"compare: {_named(a)} and {_named(b)} are different tests")
    differences = tuple(_differences(a, b, 1 + margin_percent / 100))
    met = {verdict.name for verdict in a.verdicts if verdict.verdict == "met"}
    turned = tuple(v.name for v in b.verdicts if v.verdict == "violated" and v.name in met)
    ok = not turned and not any(difference.worse for difference in differences)
    return Comparison(
        ok=ok, shape=one.name, margin_percent=margin_percent, differences=differences, turned=turned
    )


def _differences(a: Report, b: Report, factor: float) -> Iterator[Difference]:
    def lower_is_better(name: str, unit: str, before: float | None, after: float | None) -> Difference:
        worse = before is not None and after is not None and after > before * factor
        return Difference(name=name, unit=unit, before=before, after=after, worse=worse)

    before_s, after_s = a.facts.ending.ran_s or 1.0, b.facts.ending.ran_s or 1.0
    before, after = a.facts.met / before_s, b.facts.met / after_s
    yield Difference(
        name="answered as expected", unit="/s", before=before, after=after, worse=after * factor < before
    )
    latencies = {found.name: found for found in b.latencies}
    for first in a.latencies:
        second = latencies.get(first.name)
        if second is None or first.name == "loop_lag":
            continue
        for percentile in ("p50_ms", "p95_ms", "p99_ms"):
            name = f"{first.name} {percentile.removesuffix('_ms')}"
            yield lower_is_better(name, "ms", getattr(first, percentile), getattr(second, percentile))
    knees = [next((v.value for v in report.verdicts if v.name == "knee"), None) for report in (a, b)]
    if knees[0] is not None:
        worse = knees[1] is None or knees[1] * factor < knees[0]
        yield Difference(name="knee", unit="/s", before=knees[0], after=knees[1], worse=worse)
    yield lower_is_better(
        "drained after", "s", _at_least_1(a.facts.drained_s), _at_least_1(b.facts.drained_s)
    )
    peaks = {found.name: found.memory_peak_bytes for found in b.facts.processes}
    for process in a.facts.processes:
        first_mb, second_mb = _mb(process.memory_peak_bytes), _mb(peaks.get(process.name))
        yield lower_is_better(f"memory of {process.name}", "MB", first_mb, second_mb)


def table(found: Comparison) -> Table:
    rows = tuple(
        (
            difference.name,
            _shown(difference.before, difference.unit),
            _shown(difference.after, difference.unit),
            _ratio(difference),
            "worse" if difference.worse else "",
        )
        for difference in found.differences
    )
    turned = f"Met by A and violated by B: {', '.join(found.turned)}." if found.turned else ""
    note = f"Worse is more than {found.margin_percent:g} %. {turned}".strip()
    return Table(f"{found.shape}, B beside A", ("", "A", "B", "B / A", ""), rows, note=note)


def _named(report: Report) -> str:
    shape = report.facts.shape
    return f"{shape.name} (peak {shape.peak_per_s:,.0f}/s, time scale {shape.time_scale:g})"


def _at_least_1(value_s: float | None) -> float | None:
    """Below a second a drain is one look at a page more or less."""
    return None if value_s is None else max(1.0, value_s)


def _mb(value: int | None) -> float | None:
    return None if value is None else value / 1e6


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{rate(value)} {unit}" if unit == "/s" else f"{milliseconds(value)} {unit}"


def _ratio(difference: Difference) -> str:
    if not difference.before or difference.after is None:
        return "–"
    return f"{difference.after / difference.before:.2f}"
