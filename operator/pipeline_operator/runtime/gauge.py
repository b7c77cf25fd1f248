"""The operator's own figures, in Prometheus text (format 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pipeline_operator.kube.meter import ApiMeter

REACTION_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0)
DECISION_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25)


class Histogram:
    """Cumulative buckets."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.count = 0

    def observe(self, value: float) -> None:
        self.count += 1
        self.total += value
        at = next((index for index, bound in enumerate(self._bounds) if value <= bound), len(self._bounds))
        self._counts[at] += 1

    def lines(self, name: str) -> Iterable[str]:
        reached = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            reached += count
            label = "+Inf" if bound == float("inf") else str(bound)
            yield f'{name}_bucket{{le="{label}"}} {reached}'
        yield f"{name}_sum {self.total!r}"
        yield f"{name}_count {self.count}"


class Gauges:
    """All of them. Names and label values come from Kubernetes, where they need no escaping."""

    def __init__(self, api: ApiMeter) -> None:
        self.api = api
        self.reaction = Histogram(REACTION_BOUNDS_S)
        self.decision = Histogram(DECISION_BOUNDS_S)
        self.errors: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        """By direction: raise, lower."""
        self.refused: Counter[tuple[str, str, str]] = Counter()
        """Writes by (namespace, Pipeline, reason)."""
        self.replicas: dict[tuple[str, str], Mapping[str, tuple[int, int]]] = {}
        """(namespace, Pipeline) → stage → (asked for, wanted)."""
        self.signals: dict[tuple[str, str], tuple[int, int]] = {}
        """(namespace, Pipeline) → (age of the oldest signal in ms, pods that do not answer)."""
        self.collectors = (0, 0)
        """Known, streaming."""
        self.pipelines = 0
        self.leases: Mapping[tuple[str, str], bool] = {}
        """(namespace, Lease) → whether it is ours."""
        self.watch_restarts = 0
        self.events_dropped = 0

    def forget(self, key: tuple[str, str]) -> None:
        self.replicas.pop(key, None)
        self.signals.pop(key, None)
        for counted in [counted for counted in self.refused if counted[:2] == key]:
            del self.refused[counted]

    def page(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterable[str]:
        yield from _head(
            "reaction_seconds", "histogram", "From the news that a raise follows to its patch answered"
        )
        yield from self.reaction.lines("ringline_operator_reaction_seconds")
        yield from _head("decision_seconds", "histogram", "One decision on one Pipeline, all stages")
        yield from self.decision.lines("ringline_operator_decision_seconds")
        yield from _head("api_calls_total", "counter", "Calls to the API server; code 0: no answer")
        for (verb, code), count in sorted(self.api.calls.items()):
            yield f'ringline_operator_api_calls_total{{verb="{verb}",code="{code}"}} {count}'
        yield from _one(
            "api_calls_held_back_total", "counter", "Calls not made while it recovers", self.api.held_back
        )
        yield from _head("errors_total", "counter", "What went wrong, by where")
        for where, count in sorted(self.errors.items()):
            yield f'ringline_operator_errors_total{{where="{where}"}} {count}'
        yield from _head("writes_total", "counter", "Patches of /scale")
        for direction, count in sorted(self.writes.items()):
            yield f'ringline_operator_writes_total{{direction="{direction}"}} {count}'
        yield from _head("scale_refused_total", "counter", "Patches of /scale that were refused")
        for (namespace, name, reason), count in sorted(self.refused.items()):
            labels = f'namespace="{namespace}",pipeline="{name}",reason="{reason}"'
            yield f"ringline_operator_scale_refused_total{{{labels}}} {count}"
        yield from self._by_pipeline()
        yield from _one("pipelines", "gauge", "Pipelines watched", self.pipelines)
        yield from _one("collectors", "gauge", "Collectors listened to", self.collectors[0])
        yield from _one("collectors_streaming", "gauge", "Of them those that push", self.collectors[1])
        yield from _head(
            "lease_held", "gauge", "Whether this operator decides on the Pipelines of this Lease"
        )
        for (namespace, lease), held in sorted(self.leases.items()):
            yield f'ringline_operator_lease_held{{namespace="{namespace}",lease="{lease}"}} {int(held)}'
        yield from _one(
            "watch_restarts_total", "counter", "Times that all watches were begun anew", self.watch_restarts
        )
        yield from _one(
            "events_dropped_total", "counter", "Kubernetes Events not posted", self.events_dropped
        )

    def _by_pipeline(self) -> Iterable[str]:
        yield from _head("replicas", "gauge", "Replicas that a StatefulSet asks for")
        for key, labels in self._stages():
            yield f"ringline_operator_replicas{{{labels}}} {key[0]}"
        yield from _head("replicas_wanted", "gauge", "Replicas decided on")
        for key, labels in self._stages():
            yield f"ringline_operator_replicas_wanted{{{labels}}} {key[1]}"
        yield from _head("signal_age_seconds", "gauge", "Age of the oldest signal")
        for (namespace, name), (age_ms, _) in sorted(self.signals.items()):
            labels = f'namespace="{namespace}",pipeline="{name}"'
            yield f"ringline_operator_signal_age_seconds{{{labels}}} {age_ms / 1000}"
        yield from _head("silent_pods", "gauge", "Ready pods whose collector's word is not used")
        for (namespace, name), (_, silent) in sorted(self.signals.items()):
            yield f'ringline_operator_silent_pods{{namespace="{namespace}",pipeline="{name}"}} {silent}'

    def _stages(self) -> Iterable[tuple[tuple[int, int], str]]:
        for (namespace, name), stages in sorted(self.replicas.items()):
            for stage, figures in sorted(stages.items()):
                yield figures, f'namespace="{namespace}",pipeline="{name}",stage="{stage}"'


def _head(name: str, kind: str, text: str) -> Iterable[str]:
    yield f"# HELP ringline_operator_{name} {text}"
    yield f"# TYPE ringline_operator_{name} {kind}"


def _one(name: str, kind: str, text: str, value: int) -> Iterable[str]:
    yield from _head(name, kind, text)
    yield f"ringline_operator_{name} {value}"
