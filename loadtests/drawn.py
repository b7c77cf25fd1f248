"""The report's tables and plots: cells as text and SVG, which Markdown, HTML and the terminal only set."""

from __future__ import annotations

from loadtests.knee import why_not
from loadtests.report import Figures, Report
from loadtests.scaling import scaling_table
from loadtests.settings import Gates
from pipeline.plotting import svg
from pipeline.plotting.tables import Table, count, mebibytes, milliseconds, rate

STAGES = ("gateway", "agent", "exec", "audit")
MEANINGS = {
    "intended": "from the intended send time (coordinated omission corrected)",
    "naive": "from the actual send time (what most load tests report)",
    "accepted": "from the intended send time, events answered 202 alone",
    "loop_lag": "the generator's own event loop was late by",
    "query": "a query of the audit, from its intended time",
    "feed": "a frame of the feed, from its send time",
}
PLOT_POINTS = 600
_WORDS = {"met": "met", "violated": "VIOLATED", "unknown": "not to be told"}


def tables(report: Report) -> list[Table]:
    found = [_gates(report), _rates(report), _latencies(report), _stages(report), _steps(report)]
    found += [scaling_table(report)]
    found += [_lags(report), _processes(report), _audit(report), _answers(report), _faults(report)]
    return [table for table in found if table.rows]


def plots(report: Report) -> list[tuple[str, str]]:
    found = [
        ("Requests per second", _rate_plot(report)),
        ("Latency from the intended send time, ms", _latency_plot(report)),
        ("The knee: p95 by rate, ms", _knee_plot(report)),
        ("End to end, p95 of each second, ms", _end_to_end_plot(report)),
        ("Lag of each stage, ms", _stage_plot(report, "lag_ms", "Lag")),
        ("Replicas", _stage_plot(report, "replicas", "Replicas")),
        ("Memory of each process, MiB", _memory_plot(report)),
    ]
    return [(title, drawing) for title, drawing in found if drawing]


def about(report: Report) -> str:
    """What was tested, in a line."""
    shape = report.facts.shape
    model = f"{shape.peak_per_s:,.0f}/s at the peak"
    kind = "arrivals that wait for no answer" if shape.open_model else "users on schedules of their own"
    by = "started by the test" if report.started_by_test else "as it ran"
    scaled = (
        ""
        if shape.time_scale == 1
        else f" Time scale {shape.time_scale:g}: shorter than the test is defined."
    )
    return f"{shape.about}; {kind}, {model}. {report.target}, {by}; began {report.started}.{scaled}"


def footer(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return f"{machine['cpus']} × {machine['cpu']}, {machine['memory']}, {machine['system']}; {versions}."


def _gates(report: Report) -> Table:
    rows = tuple((verdict.name, _WORDS[verdict.verdict], verdict.sentence) for verdict in report.verdicts)
    return Table("Gates", ("gate", "answer", "what was found"), rows, words=3)


def _rates(report: Report) -> Table:
    facts = report.facts
    ran_s = facts.ending.ran_s or 1.0
    cells = [
        ("planned", count(round(facts.planned)), rate(facts.planned / ran_s)),
        ("answered as expected", count(facts.met), rate(facts.met / ran_s)),
        ("shed (503 or 429 with Retry-After)", count(facts.shed), rate(facts.shed / ran_s)),
        ("errors", count(facts.errors), rate(facts.errors / ran_s)),
        ("sent again", count(report.retries), rate(report.retries / ran_s)),
        ("given up", count(report.given_up), rate(report.given_up / ran_s)),
    ]
    return Table("Requests", ("", "in all", "per second"), tuple(cells))


def _latencies(report: Report) -> Table:
    rows = tuple(_latency_row(found) for found in report.latencies)
    columns = ("latency, ms", "count", "p50", "p95", "p99", "p99.9", "max")
    return Table("Latency", columns, rows)


def _latency_row(found: Figures) -> tuple[str, ...]:
    values = (found.p50_ms, found.p95_ms, found.p99_ms, found.p99_9_ms, found.max_ms)
    return (MEANINGS.get(found.name, found.name), count(found.count), *map(milliseconds, values))


def _stages(report: Report) -> Table:
    rows = tuple(
        (found.event, count(found.count), *map(milliseconds, (found.p50_ms, found.p95_ms, found.p99_ms)))
        for found in report.stages
    )
    note = "From the collector, since it started. END_TO_END is accept to settled."
    return Table("Steps of the golden path, ms", ("event", "count", "p50", "p95", "p99"), rows, note=note)


def _steps(report: Report) -> Table:
    steps = report.facts.steps
    if len(steps) < 2:
        return Table("", (), ())
    gates = Gates()
    rows = tuple(
        (
            str(step.users),
            *map(rate, (step.planned_per_s, step.met_per_s)),
            *map(count, (step.shed, step.errors)),
            *map(milliseconds, (step.p50_ms, step.p95_ms, step.p99_ms)),
            why_not(step, gates) or "good",
        )
        for step in steps
    )
    columns = ("users", "planned/s", "answered/s", "shed", "errors", "p50 ms", "p95 ms", "p99 ms", "")
    return Table("Steps of the shape", columns, rows, words=0, note="Judged by the default gates.")


def _lags(report: Report) -> Table:
    rows = tuple(
        (stage, milliseconds(report.lag_peak_ms.get(stage)), count(report.backlog_peak.get(stage, 0)))
        for stage in STAGES
        if stage in report.backlog_peak
    )
    note = (
        f"Waited for credit: {count(report.flow_throttled)} messages; refused by trade limits: "
        f"{count(report.trade_throttled)}."
    )
    return Table("Highest lag and backlog", ("stage", "lag ms", "backlog"), rows, note=note)


def _processes(report: Report) -> Table:
    rows = tuple(
        (
            found.name,
            _percent(found.cpu_mean_percent),
            _percent(found.cpu_peak_percent),
            "–" if found.memory_first_bytes is None else mebibytes(found.memory_first_bytes),
            "–" if found.memory_peak_bytes is None else mebibytes(found.memory_peak_bytes),
            str(found.restarts),
        )
        for found in report.facts.processes
    )
    note = f"The generator took {_percent(report.generator_cpu_percent)} % of one processor, on average."
    columns = ("process", "CPU %, mean", "CPU %, peak", "MiB at first", "MiB at most", "restarts")
    return Table("Processes", columns, rows, note=note if report.generator_cpu_percent is not None else "")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _audit(report: Report) -> Table:
    found = report.facts.audited
    if found is None:
        return Table("", (), ())
    rows = [
        ("events sent", count(found.sent)),
        ("answered 202", count(found.accepted)),
        ("never answered", count(found.unanswered)),
        ("audited", count(found.rows)),
        ("sent more than once", count(found.repeated)),
        ("executed twice", count(found.twice)),
        ("orders denied by trade limits", count(found.denied)),
    ]
    rows += [(f"outcome {name}", count(value)) for name, value in found.outcomes.items() if value]
    return Table("Audit", ("", "events"), tuple(rows))


def _answers(report: Report) -> Table:
    rows = tuple(
        (name if name != "0" else "no answer", count(value)) for name, value in report.statuses.items()
    )
    return Table("Answers by status", ("status", "requests"), rows)


def _faults(report: Report) -> Table:
    return Table(
        "Errors", ("what", "times"), tuple((name, count(value)) for name, value in report.faults.items())
    )


# ---- plots ----------------------------------------------------------------------------------------------


def _rate_plot(report: Report) -> str:
    points = report.points
    x = [point.elapsed_s for point in points]
    series = [
        svg.Line("answered as expected", x, [float(point.met) for point in points]),
        svg.Line("shed", x, [float(point.shed) for point in points]),
        svg.Line("errors", x, [float(point.errors) for point in points]),
    ]
    return svg.lines(
        [_thinned(line) for line in series], x_text=_seconds, y_text=rate, title="Requests per second"
    )


def _latency_plot(report: Report) -> str:
    series = [
        svg.Line(
            name,
            [point.elapsed_s for point in report.points if getattr(point, field) is not None],
            [getattr(point, field) for point in report.points if getattr(point, field) is not None],
        )
        for name, field in (("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms"))
    ]
    return svg.lines(
        [_thinned(line) for line in series], x_text=_seconds, y_text=milliseconds, title="Latency"
    )


def _knee_plot(report: Report) -> str:
    steps = [step for step in report.facts.steps if step.p95_ms is not None]
    if not report.facts.shape.knee:
        return ""
    line = svg.Line("p95", [step.planned_per_s for step in steps], [step.p95_ms or 0.0 for step in steps])
    return svg.lines(
        [line], x_text=lambda value: f"{value:,.0f}/s", y_text=milliseconds, title="p95 by planned rate"
    )


def _end_to_end_plot(report: Report) -> str:
    known = [
        (point.elapsed_s, point.end_to_end_p95_ms)
        for point in report.stage_points
        if point.end_to_end_p95_ms is not None
    ]
    line = svg.Line("accept to settled", [x for x, _ in known], [y for _, y in known])
    return svg.lines([_thinned(line)], x_text=_seconds, y_text=milliseconds, title="End to end")


def _stage_plot(report: Report, field: str, title: str) -> str:
    series = []
    for stage in STAGES:
        known = [
            (point.elapsed_s, float(getattr(point, field)[stage]))
            for point in report.stage_points
            if stage in getattr(point, field)
        ]
        series.append(_thinned(svg.Line(stage, [x for x, _ in known], [y for _, y in known])))
    return svg.lines(series, x_text=_seconds, y_text=lambda value: f"{value:g}", title=title)


def _memory_plot(report: Report) -> str:
    series = [
        _thinned(
            svg.Line(
                name, [point.elapsed_s for point in points], [point.memory_bytes / 2**20 for point in points]
            )
        )
        for name, points in report.memory.items()
    ]
    return svg.lines(series, x_text=_seconds, y_text=lambda value: f"{value:g}", title="Memory")


def _thinned(line: svg.Line) -> svg.Line:
    """Of a long series the highest point of each span: a plot must not hide its peaks."""
    size = -(-len(line.x) // PLOT_POINTS) or 1
    best = [
        max(range(first, min(first + size, len(line.x))), key=lambda index: line.y[index])
        for first in range(0, len(line.x), size)
    ]
    return svg.Line(line.name, [line.x[index] for index in best], [line.y[index] for index in best])


def _seconds(value: float) -> str:
    return f"{value:.0f} s"
