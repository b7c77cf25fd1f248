"""A baseline in Markdown, drawn from its plain values alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOTHING = "–"


def reports(baseline: Mapping[str, Any]) -> dict[str, str]:
    """One Markdown text a part; `summary` says the verdict."""
    return {
        "summary": _summary(baseline),
        "execution": _execution(baseline["execution"]),
        "throughput": _throughput(baseline["throughput"]),
        "performance": _performance(baseline["performance"]),
        "throttle": _throttle(baseline["throttle_scopes"]),
    }


def whole(baseline: Mapping[str, Any]) -> str:
    """All parts as one document."""
    return "# Performance baseline\n\n" + "\n".join(baseline["reports"].values())


def _summary(baseline: Mapping[str, Any]) -> str:
    performance, execution = baseline["performance"], baseline["execution"]
    lines = [f"**{'Healthy' if performance['healthy'] else 'NOT HEALTHY'}.**"]
    lines += [f"- {breach}" for breach in performance["breaches"]]
    lines += [f"- {unknown}" for unknown in performance["unknown"]]
    lines.append(
        f"\n{execution['trades']} trades by the {execution['manager']} manager, "
        f"{_text(execution['orders_submitted'])} ordered, {_text(execution['orders_denied'])} denied."
    )
    return "\n".join(lines) + "\n"


def _execution(execution: Mapping[str, Any]) -> str:
    throttle = execution["trade_throttle"]
    metadata = throttle["metadata"]
    rows = [
        ("throttle", throttle["state"]),
        ("message", throttle["message"] or NOTHING),
        ("retry at", metadata["retry_at"]),
        ("window used", _share(metadata.get("window_utilisation"))),
        ("denials", ", ".join(f"{code} {count}" for code, count in execution["denials"].items()) or NOTHING),
    ]
    return "## Execution\n\n" + table(("", ""), rows)


def _throughput(throughput: Mapping[str, Any]) -> str:
    rows = [
        ("processing", throughput["max_processing_ms"], throughput["processing_limit_ms"]),
        ("lag", throughput["max_lag_ms"], throughput["lag_limit_ms"]),
    ]
    head = f"## Throughput\n\n{throughput['samples']} samples, {throughput['per_second']:.1f} per second.\n\n"
    return head + table(("ms", "worst", "limit"), rows)


def _performance(performance: Mapping[str, Any]) -> str:
    backlog, resources, latency = (performance[name] for name in ("backlog", "resources", "latency"))
    rows = [
        ("backlog p95 lag, ms", backlog["p95_lag_ms"], backlog["threshold_ms"]),
        ("breach rate", _share(backlog["breach_rate"]), NOTHING),
        ("longest breach streak", backlog["max_breach_streak"], NOTHING),
        ("CPU, % of one", resources["cpu_percent"], resources["max_cpu_percent"]),
        ("memory, MiB", resources["memory_mb"], resources["max_memory_mb"]),
        ("memory, %", resources["memory_percent"], resources["max_memory_percent"]),
    ]
    text = "## Performance\n\n" + table(("", "value", "limit"), rows)
    if resources["note"]:
        text += f"\n{resources['note']}.\n"
    if latency["rounds"]:
        text += (
            f"\n{latency['measures']}: p50 {latency['p50_ms']:.3f} ms, p95 {latency['p95_ms']:.3f} ms over "
            f"{len(latency['rounds'])} rounds; the reference loop takes {latency['reference_ms']:.3f} ms.\n"
        )
    return text


def _throttle(scopes: Sequence[Mapping[str, Any]]) -> str:
    if not scopes:
        return "## Throttle scopes\n\nNone known.\n"
    headings = ("throttle", "strategy", "symbol", "state", "trades left", "notional left", "retry at")
    rows = [
        (
            scope["name"],
            scope["scope"]["strategy_id"] or "all",
            scope["scope"]["symbol"] or "all",
            scope["state"],
            scope["remaining_trades"],
            scope["throttle_remaining_notional"],
            scope["retry_at"],
        )
        for scope in scopes
    ]
    return "## Throttle scopes\n\n" + table(headings, rows)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; what would break one is escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(map(_text, line))} |\n" for line in lines)


def _text(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.0f} %"
