"""The gateway's own counters, and their text for Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator


class Counters:
    """What was counted since the start. Plain attributes: the hot path adds to them."""

    __slots__ = ("accepted", "conflicts", "connections_refused", "duplicates", "requests", "signatures")

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        """Answers by status, all paths together."""
        self.signatures: Counter[tuple[str, str]] = Counter()
        """Good signatures by source and name of the secret that matched: shows when an old one is unused."""
        self.accepted = 0
        """Events appended to the journal."""
        self.duplicates = 0
        """Repeats that were given the first answer again."""
        self.conflicts = 0
        """Repeats with another body."""
        self.connections_refused = 0


Sample = tuple[dict[str, str], float]
Family = tuple[str, str, str, Iterable[Sample]]
"""Name, kind, help, samples."""


def families(counters: Counters) -> Iterator[Family]:
    """The counters as metric families."""
    yield (
        "ringline_gateway_requests_total",
        "counter",
        "HTTP requests answered, by status.",
        [({"status": str(status)}, count) for status, count in sorted(counters.requests.items())],
    )
    yield (
        "ringline_gateway_signatures_total",
        "counter",
        "Good signatures, by source and by the secret that matched.",
        [
            ({"source": source, "secret": secret}, count)
            for (source, secret), count in sorted(counters.signatures.items())
        ],
    )
    for name, text, value in (
        ("accepted", "Events accepted into the journal.", counters.accepted),
        ("duplicates", "Repeats answered as the first time.", counters.duplicates),
        ("conflicts", "Repeats of a webhook-id with another body.", counters.conflicts),
        ("connections_refused", "Connections above the limit.", counters.connections_refused),
    ):
        yield f"ringline_gateway_{name}_total", "counter", text, [({}, value)]


def gauge(name: str, text: str, value: float) -> Family:
    """One gauge without labels."""
    return f"ringline_gateway_{name}", "gauge", text, [({}, value)]


def exposition(found: Iterable[Family]) -> bytes:
    """Metric families as Prometheus reads them."""
    lines: list[str] = []
    for name, kind, text, samples in found:
        lines += (f"# HELP {name} {text}", f"# TYPE {name} {kind}")
        lines += [f"{name}{_labels(labels)} {+value}" for labels, value in samples]
    return ("\n".join(lines) + "\n").encode()


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
