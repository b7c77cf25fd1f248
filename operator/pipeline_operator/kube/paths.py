"""Where objects are in the API."""

from __future__ import annotations

GROUP = "ringline.dev"
VERSION = "v1alpha1"
PLURAL = "pipelines"
API_VERSION = f"{GROUP}/{VERSION}"


def pipelines(namespace: str, name: str = "") -> str:
    return _within(f"/apis/{API_VERSION}", namespace, PLURAL, name)


def pipeline_status(namespace: str, name: str) -> str:
    return pipelines(namespace, name) + "/status"


def stateful_sets(namespace: str, name: str = "") -> str:
    return _within("/apis/apps/v1", namespace, "statefulsets", name)


def scale(namespace: str, name: str) -> str:
    """The one thing of a StatefulSet that the operator writes."""
    return stateful_sets(namespace, name) + "/scale"


def pods(namespace: str) -> str:
    return _within("/api/v1", namespace, "pods")


def endpoint_slices(namespace: str) -> str:
    return _within("/apis/discovery.k8s.io/v1", namespace, "endpointslices")


def autoscalers(namespace: str) -> str:
    return _within("/apis/autoscaling/v2", namespace, "horizontalpodautoscalers")


def events(namespace: str, name: str = "") -> str:
    return _within("/apis/events.k8s.io/v1", namespace, "events", name)


def leases(namespace: str, name: str = "") -> str:
    return _within("/apis/coordination.k8s.io/v1", namespace, "leases", name)


def _within(api: str, namespace: str, plural: str, name: str = "") -> str:
    return f"{api}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")
