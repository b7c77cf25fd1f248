"""All that is watched, as last seen. Kept by one thread: the tick's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from pipeline_operator.runtime.seen import (
    Raw,
    SeenAutoscaler,
    SeenPipeline,
    SeenPod,
    SeenSet,
    SeenSlice,
    autoscaler_of,
    pipeline_of,
    pod_of,
    set_of,
    slice_of,
    version_number,
)

Key = tuple[str, str]
"""(namespace, name)."""
Thing = TypeVar("Thing")


class Shelf(Generic[Thing]):
    """Objects of one kind by namespace and name."""

    def __init__(self, reads: Callable[[Raw], Thing | None]) -> None:
        self._reads = reads
        self.things: dict[Key, Thing] = {}

    def note(self, raw: Raw, *, gone: bool) -> Thing | None:
        """Keep or drop what an event tells; returns what is there now."""
        meta = raw["metadata"]
        key = (meta["namespace"], meta["name"])
        thing = None if gone else self._reads(raw)
        if thing is None:
            self.keep_without(*key)
        else:
            self.put(*key, thing)
        return thing

    def put(self, namespace: str, name: str, thing: Thing) -> None:
        """Keep it, unless something newer is kept already: what a watch tells may be late."""
        old = self.things.get((namespace, name))
        if old is None or _version(thing) >= _version(old):
            self.things[namespace, name] = thing

    def keep_without(self, namespace: str, name: str) -> None:
        self.things.pop((namespace, name), None)

    def get(self, namespace: str, name: str) -> Thing | None:
        return self.things.get((namespace, name))

    def within(self, namespace: str) -> list[Thing]:
        return [thing for key, thing in self.things.items() if key[0] == namespace]

    def drop_missed(self, before: Iterable[Key], names: Iterable[str]) -> list[Key]:
        """Drop those of `before`, kept when a listing began, that it did not name: they were missed."""
        there = set(names)
        gone = [key for key in before if key[1] not in there and key in self.things]
        for key in gone:
            del self.things[key]
        return gone


def _version(thing: object) -> int:
    """0 for what keeps none."""
    return version_number(getattr(thing, "version", ""))


class World:
    """One shelf a kind; kinds by the plural names of the API."""

    def __init__(self) -> None:
        self.pipelines: Shelf[SeenPipeline] = Shelf(pipeline_of)
        self.sets: Shelf[SeenSet] = Shelf(set_of)
        self.pods: Shelf[SeenPod] = Shelf(pod_of)
        self.slices: Shelf[SeenSlice] = Shelf(slice_of)
        self.autoscalers: Shelf[SeenAutoscaler] = Shelf(autoscaler_of)
        self.shelves: Mapping[str, Shelf[Any]] = {
            "pipelines": self.pipelines,
            "statefulsets": self.sets,
            "pods": self.pods,
            "endpointslices": self.slices,
            "horizontalpodautoscalers": self.autoscalers,
        }

    def note(self, plural: str, raw: Raw, *, gone: bool) -> None:
        self.shelves[plural].note(raw, gone=gone)

    def pods_of(self, stateful_set: SeenSet) -> list[SeenPod]:
        """By name; none that a former set of the same name left."""
        found = [pod for pod in self.pods.within(stateful_set.namespace) if pod.set_uid == stateful_set.uid]
        return sorted(found, key=lambda pod: pod.name)

    def autoscaler_of(self, stateful_set: SeenSet) -> SeenAutoscaler | None:
        """An HPA that scales it too."""
        for autoscaler in self.autoscalers.within(stateful_set.namespace):
            if autoscaler.target == stateful_set.name:
                return autoscaler
        return None

    def endpoints_of(self, stateful_set: SeenSet) -> dict[str, tuple[str, int]]:
        """Pod → address and port of its collector."""
        found: dict[str, tuple[str, int]] = {}
        for one in self.slices.within(stateful_set.namespace):
            if one.service == stateful_set.service:
                for pod, address in one.endpoints:
                    found.setdefault(pod, (address, one.port))
        return found
