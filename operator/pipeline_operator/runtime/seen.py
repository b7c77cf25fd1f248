"""The few facts that the operator keeps of each object it watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_operator.kube.client import FIELD_MANAGER
from pipeline_operator.kube.times import us_of

Raw = Mapping[str, Any]
COLLECTOR_PORT = 9464
"""Where a collector listens unless the Service names a port `collector`."""
COLLECTOR_PORT_NAME = "collector"
SERVICE_LABEL = "kubernetes.io/service-name"
_STUCK_REASONS = ("Unschedulable",)
REPLICAS_ANNOTATION = "ringline.dev/replicas"
"""In which the chart says whose the replicas are."""
_LEFT_TO_US = frozenset({"decided", "kept"})
_RELEASERS = frozenset({"helm", "helm-controller"})
"""Field managers of what applies a release."""


def version_number(version: str) -> int:
    """A resourceVersion as a number: they grow (KEP-5504). 0 for none."""
    return int(version) if version.isascii() and version.isdigit() else 0


@dataclass(frozen=True, slots=True)
class SeenPipeline:
    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: Any
    status: Raw

    @property
    def operator(self) -> str:
        """Whom it is meant for; empty: anybody."""
        named = self.spec.get("operator") if isinstance(self.spec, Mapping) else None
        return named if isinstance(named, str) else ""

    @property
    def age_order(self) -> tuple[str, str]:
        """The older one first: of two that want the same target, it has it."""
        return (self.created, self.uid)


@dataclass(frozen=True, slots=True)
class SeenSet:
    """A StatefulSet. `owners` are the managers of the field `spec.replicas`, and when each wrote last."""

    namespace: str
    name: str
    uid: str
    version: str
    replicas: int
    service: str
    revision: str
    owners: tuple[tuple[str, int], ...]
    deleting: bool = False
    left_to_us: bool = False
    """Its chart says that the operator decides the replicas."""

    @property
    def is_put_back(self) -> bool:
        """What its release wrote into the replicas, which are not the release's to decide: Helm writes what
        ran when an upgrade was rendered, and at a rollback what ran long ago."""
        others = {manager for manager, _ in self.owners if manager != FIELD_MANAGER}
        return self.left_to_us and bool(others) and others <= _RELEASERS

    @property
    def is_ours(self) -> bool:
        return any(manager == FIELD_MANAGER for manager, _ in self.owners)

    @property
    def is_shared(self) -> bool:
        """Somebody else owns the replicas, alone or with us."""
        return any(manager != FIELD_MANAGER for manager, _ in self.owners)

    @property
    def must_be_taken_over(self) -> bool:
        """Applied without force it would be a conflict: with other owners, and also without any, which is
        what a server-side apply that leaves the replicas out makes; the API server then counts the default of
        one as owned by `before-first-apply`."""
        return self.is_shared or not self.is_ours


@dataclass(frozen=True, slots=True)
class SeenPod:
    """`ready_us` is when it became ready last; None while it is not."""

    namespace: str
    name: str
    uid: str
    set_uid: str
    created_us: int
    ready_us: int | None
    restarts: int
    unschedulable: bool
    deleting: bool


@dataclass(frozen=True, slots=True)
class SeenSlice:
    """Endpoints of one Service: (pod, address) and the collector's port."""

    namespace: str
    name: str
    service: str
    port: int
    endpoints: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SeenAutoscaler:
    namespace: str
    name: str
    target: str
    """Of a StatefulSet; empty when it scales something else."""


def pipeline_of(raw: Raw) -> SeenPipeline:
    meta = raw["metadata"]
    return SeenPipeline(
        meta["namespace"],
        meta["name"],
        meta["uid"],
        int(meta.get("generation") or 0),
        str(meta.get("creationTimestamp") or ""),
        raw.get("spec"),
        raw.get("status") or {},
    )


def set_of(raw: Raw) -> SeenSet:
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    return SeenSet(
        meta["namespace"],
        meta["name"],
        meta["uid"],
        meta["resourceVersion"],
        int(spec.get("replicas", 1)),
        str(spec.get("serviceName") or ""),
        str(status.get("updateRevision") or ""),
        _replica_owners(meta),
        "deletionTimestamp" in meta,
        (meta.get("annotations") or {}).get(REPLICAS_ANNOTATION) in _LEFT_TO_US,
    )


def pod_of(raw: Raw) -> SeenPod | None:
    """None for a pod of no StatefulSet."""
    meta, status = raw["metadata"], raw.get("status") or {}
    owner = next((one for one in meta.get("ownerReferences") or () if one.get("controller")), None)
    if owner is None or owner.get("kind") != "StatefulSet":
        return None
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    scheduled = conditions.get("PodScheduled", {})
    return SeenPod(
        meta["namespace"],
        meta["name"],
        meta["uid"],
        str(owner.get("uid")),
        us_of(meta.get("creationTimestamp")) or 0,
        us_of(ready.get("lastTransitionTime")) if ready.get("status") == "True" else None,
        sum(int(one.get("restartCount") or 0) for one in status.get("containerStatuses") or ()),
        scheduled.get("status") == "False" and scheduled.get("reason") in _STUCK_REASONS,
        "deletionTimestamp" in meta,
    )


def slice_of(raw: Raw) -> SeenSlice | None:
    """None for a slice of no Service."""
    meta = raw["metadata"]
    service = (meta.get("labels") or {}).get(SERVICE_LABEL)
    if not service:
        return None
    ports = {one.get("name"): one.get("port") for one in raw.get("ports") or ()}
    endpoints = tuple(
        (str(one["targetRef"]["name"]), str(one["addresses"][0]))
        for one in raw.get("endpoints") or ()
        if one.get("addresses") and (one.get("targetRef") or {}).get("kind") == "Pod"
    )
    port = int(ports.get(COLLECTOR_PORT_NAME) or COLLECTOR_PORT)
    return SeenSlice(meta["namespace"], meta["name"], service, port, endpoints)


def autoscaler_of(raw: Raw) -> SeenAutoscaler:
    meta, target = raw["metadata"], (raw.get("spec") or {}).get("scaleTargetRef") or {}
    name = str(target.get("name") or "") if target.get("kind") == "StatefulSet" else ""
    return SeenAutoscaler(meta["namespace"], meta["name"], name)


def _owner(entry: Raw) -> str:
    """Only what was applied is ours: an update by our name is another owner to the API server."""
    manager = str(entry.get("manager") or "unknown")
    if manager == FIELD_MANAGER and entry.get("operation") != "Apply":
        return f"{manager} (not applied)"
    return manager


def _replica_owners(meta: Raw) -> tuple[tuple[str, int], ...]:
    return tuple(
        (_owner(entry), us_of(entry.get("time")) or 0)
        for entry in meta.get("managedFields") or ()
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    )
