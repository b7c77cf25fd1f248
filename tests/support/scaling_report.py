"""What a run of breach, raise, recovery and lowering took: JSON, Markdown and a page with plots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from planned_load import PlannedLoad
from stage_watch import StageWatch

from pipeline.plotting.page import page
from pipeline.plotting.svg import Line, lines
from pipeline.plotting.tables import Table

SCHEMA = 1
BIN_S = 2.0
QUIET_S = 3.0
"""An SLA that is met for so long is met again: a backlog that falls has its ups and downs."""


@dataclass(frozen=True)
class Round:
    """One rise of the load. Seconds since its breach was visible in a collector, or since the rise where none
    was; None: it did not happen. A negative `patched_s`: raised before the breach."""

    breached: bool
    rise_to_breach_s: float | None
    patched_s: float | None
    patch_to_ready_s: float | None
    patch_to_first_message_s: float | None
    met_again_s: float | None
    worst_lag_ms: float
    most_replicas: int
    lowered_s: float | None
    """The first lowering, since the load fell."""


def rounds_of(watch: StageWatch, load: PlannedLoad, limit_ms: float) -> Iterator[Round]:
    """The plan's phases in pairs: high, low."""
    at_s = load.start_s
    last_s = max([at_s, *(lag.at_s for lag in watch.lags)])
    pairs = list(zip(load.plan[::2], load.plan[1::2], strict=True))
    for number, (high, low) in enumerate(pairs, start=1):
        fell_s, end_s = at_s + high.seconds, at_s + high.seconds + low.seconds
        yield _round(watch, at_s, fell_s, end_s if number < len(pairs) else max(end_s, last_s), limit_ms)
        at_s = end_s


def _round(watch: StageWatch, rose_s: float, fell_s: float, end_s: float, limit_ms: float) -> Round:
    lags = [lag for lag in watch.lags if rose_s <= lag.at_s < end_s]
    above_s = [lag.at_s for lag in lags if lag.lag_ms > limit_ms]
    breach_s = above_s[0] if above_s else None
    from_s = rose_s if breach_s is None else breach_s
    before = max((one for one in watch.replicas if one[0] < rose_s), default=(0.0, 1))[1]
    changes = [(at_s, count) for at_s, count in watch.replicas if rose_s <= at_s < end_s]
    patch_s = next((at_s for at_s, count in changes if count > before), None)
    news = {f"{watch.set}-{ordinal}": ordinal for ordinal in range(before, 1000)}
    ready_s = first_s = None
    if patch_s is not None:
        ready_s = next((at_s for at_s, pod in watch.ready if at_s > patch_s and pod in news), None)
        firsts = (
            one.at_s
            for one in watch.handled
            if one.at_s > patch_s and one.ordinal >= before and one.done and one.up_s < one.at_s - patch_s
        )
        first_s = next(firsts, None)
    counts = [(at_s, count) for at_s, count in watch.replicas if at_s < end_s]
    falls = [at_s for (_, old), (at_s, new) in pairwise(counts) if new < old and at_s >= fell_s]
    return Round(
        breached=breach_s is not None,
        rise_to_breach_s=_since(breach_s, rose_s),
        patched_s=_since(patch_s, from_s),
        patch_to_ready_s=_since(ready_s, patch_s),
        patch_to_first_message_s=_since(first_s, patch_s),
        met_again_s=_since(_met_again_s(above_s, end_s), breach_s),
        worst_lag_ms=max((lag.lag_ms for lag in lags), default=0.0),
        most_replicas=max([before, *(count for _, count in changes)]),
        lowered_s=_since(falls[0], fell_s) if falls else None,
    )


def _met_again_s(above_s: Sequence[float], end_s: float) -> float | None:
    """The end of the first breach that does not come back at once; None without one, and while it lasts."""
    if not above_s:
        return None
    for this_s, next_s in zip(above_s, [*above_s[1:], end_s], strict=True):
        if next_s - this_s >= QUIET_S:
            return this_s
    return None


def _since(at_s: float | None, from_s: float | None) -> float | None:
    return None if at_s is None or from_s is None else round(at_s - from_s, 3)


def write_report(
    folder: Path, title: str, rounds: Sequence[Round], facts: dict[str, object], watch: StageWatch,
    load: PlannedLoad,
) -> str:  # fmt: skip
    """scaling.json, scaling.md and scaling.html in `folder`; returns the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"schema": SCHEMA, "facts": facts, "rounds": [asdict(one) for one in rounds]}
    (folder / "scaling.json").write_text(json.dumps(told, indent=2) + "\n")
    tables = [_rounds_table(rounds), Table("Facts", ("what", "figure"), _facts_rows(facts))]
    markdown = f"# {title}\n\n" + "\n".join(map(_markdown, tables))
    (folder / "scaling.md").write_text(markdown)
    drawn = page(
        title, "Nothing was lost, and the digest is that of the undisturbed run.",
        "Real traffic, a real API server; times by one wall clock.", tables, list(_plots(watch, load)),
        "Drawn by tests/cluster/chart/test_scaling_story.py.", good=True,
    )  # fmt: skip
    (folder / "scaling.html").write_text(drawn)
    return markdown


def _rounds_table(rounds: Sequence[Round]) -> Table:
    names = {
        "rise_to_breach_s": "rise → breach visible, s",
        "patched_s": "breach visible → /scale patched, s",
        "patch_to_ready_s": "patch → pod Ready, s",
        "patch_to_first_message_s": "patch → first message by a new pod, s",
        "met_again_s": "breach visible → SLA met again, s",
        "worst_lag_ms": "worst lag, ms",
        "most_replicas": "most replicas",
        "lowered_s": "load falls → lowered, s",
    }
    rows = [(text, *(_text(getattr(one, name)) for one in rounds)) for name, text in names.items()]
    heads = ("", *(f"round {number + 1}" for number in range(len(rounds))))
    return Table("Rounds", heads, tuple(rows))


def _text(value: float | int | None) -> str:
    return "–" if value is None else f"{value:,.2f}" if isinstance(value, float) else f"{value}"


def _facts_rows(facts: dict[str, object]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, str(value)) for name, value in facts.items())


def _markdown(table: Table) -> str:
    rows = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return f"## {table.title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _plots(watch: StageWatch, load: PlannedLoad) -> Iterator[tuple[str, str]]:
    start_s = load.start_s
    end_s = max([lag.at_s for lag in watch.lags], default=start_s)
    bins = [number * BIN_S for number in range(int((end_s - start_s) / BIN_S) + 1)]
    rates = [0.0] * len(bins)
    for at_s in load.accepted_s:
        if 0 <= (index := int((at_s - start_s) / BIN_S)) < len(rates):
            rates[index] += 1 / BIN_S
    steps: list[tuple[float, int]] = []
    for at_s, count in watch.replicas:
        if steps:
            steps.append((max(0.0, at_s - start_s), steps[-1][1]))
        steps.append((max(0.0, at_s - start_s), count))
    steps.append((end_s - start_s, steps[-1][1]))
    lags = [lag for lag in watch.lags if lag.at_s >= start_s]
    for what, line in (
        ("events accepted a second", Line("accepted", bins, rates)),
        ("replicas asked for", Line("replicas", [s for s, _ in steps], [float(n) for _, n in steps])),
        ("lag, ms", Line("lag", [lag.at_s - start_s for lag in lags], [lag.lag_ms for lag in lags])),
    ):
        drawing = lines(
            [line], x_text=lambda second: f"{second:.0f} s", y_text=lambda y: f"{y:,.4g}", title=what
        )
        yield what, drawing
