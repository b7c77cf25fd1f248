"""A namespace with StatefulSets whose pods only look as if they ran, each with a fake collector here.

The pods select a node that does not exist, so no kubelet touches them; their status is what we write.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec

from pipeline.clock import NS_PER_US
from pipeline_operator.collectors.fake import FakeCollector
from pipeline_operator.crd.definition import definition
from pipeline_operator.kube import paths
from pipeline_operator.kube.access import Access
from pipeline_operator.kube.client import Api
from pipeline_operator.kube.errors import ApiError
from pipeline_operator.kube.times import text_of

WITHIN_S = 60.0
LOOK_EVERY_S = 0.02


def own_address() -> str:
    """An address of this machine that an EndpointSlice may have: any but loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
        one.connect(("192.0.2.1", 9))  # sends nothing
        return str(one.getsockname()[0])
    return socket.gethostbyname(socket.gethostname())


async def until(asks: Callable[[], Awaitable[Any]], what: str, within_s: float = WITHIN_S) -> Any:
    """Ask until the answer is true, and return it. Raises TimeoutError with `what`."""
    deadline = time.monotonic() + within_s
    while not (answer := await asks()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        await asyncio.sleep(LOOK_EVERY_S)
    return answer


async def replicas_by_set(access: Access, namespace: str) -> AsyncIterator[tuple[str, int]]:
    """(StatefulSet, `spec.replicas`) at each change, by a watch of our own. Ends only with its caller."""
    connector = aiohttp.TCPConnector(ssl=access.tls())
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=WITHIN_S)
    async with aiohttp.ClientSession(
        connector=connector, headers=access.headers(), timeout=timeout
    ) as session:
        url = f"{access.server}{paths.stateful_sets(namespace)}?watch=true"
        async with session.get(url) as answer:
            rest = b""
            async for piece in answer.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    seen = msgspec.json.decode(line)["object"]
                    yield seen["metadata"]["name"], int(seen["spec"]["replicas"])


async def install_crd(api: Api, *, overwrite: bool = True) -> None:
    """Server-side apply, and wait until it is served; one that is there is kept unless `overwrite`."""
    crd = definition()
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
    try:
        there = bool(await api.get(path))
    except ApiError as error:
        if error.status != 404:
            raise
        there = False
    if overwrite or not there:
        await api.apply(path, crd, force=True)

    async def served() -> bool:
        status = (await api.get(path)).get("status") or {}
        conditions = status.get("conditions") or ()  # null until the API server has looked at it
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    await until(served, "the CRD")


class Stand:
    """One namespace of a trial. Made by `a_stand`."""

    def __init__(self, api: Api, access: Access, namespace: str) -> None:
        self.api = api
        self.access = access
        self.namespace = namespace
        self.address = own_address()
        self.stack = contextlib.AsyncExitStack()

    async def create_set(self, name: str, replicas: int | None = 1) -> dict[str, Any]:
        """A StatefulSet of which nothing runs; `replicas` None leaves the number out, as the chart does."""
        labels = {"app": name}
        spec: dict[str, Any] = {
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"ringline.dev/trial": "no-such-node"},
                    "containers": [{"name": "worker", "image": "ringline.invalid/none:0"}],
                },
            },
        }
        if replicas is not None:
            spec["replicas"] = replicas
        made = await self.api.create(
            paths.stateful_sets(self.namespace),
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec},
        )
        return dict(made)

    async def start_pod(self, pod: str) -> None:
        """Let a pod that the controller made look ready."""

        async def made() -> Any:
            return await self.found(f"{paths.pods(self.namespace)}/{pod}")

        await until(made, f"pod {pod}")
        now = text_of(time.time_ns() // NS_PER_US)
        condition = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        status = {"phase": "Running", "podIP": self.address, "conditions": [condition]}
        path = f"{paths.pods(self.namespace)}/{pod}/status"
        await self.api.request(
            "patch", path, body={"status": status}, kind="application/strategic-merge-patch+json"
        )

    async def collector(self, pod: str, service: str) -> FakeCollector:
        """A fake collector for a pod, and the EndpointSlice that leads to it."""
        fake = await self.stack.enter_async_context(FakeCollector(self.address))
        await self.api.create(
            paths.endpoint_slices(self.namespace),
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": f"trial-{pod}", "labels": {"kubernetes.io/service-name": service}},
                "addressType": "IPv4",
                "ports": [{"name": "collector", "port": fake.port, "protocol": "TCP"}],
                "endpoints": [
                    {
                        "addresses": [self.address],
                        "conditions": {"ready": True},
                        "targetRef": {"kind": "Pod", "name": pod, "namespace": self.namespace},
                    }
                ],
            },
        )
        return fake

    async def running(self, name: str, replicas: int = 1) -> list[FakeCollector]:
        """A StatefulSet, its pods ready, each with a collector."""
        await self.create_set(name, replicas)
        pods = [f"{name}-{ordinal}" for ordinal in range(replicas)]
        await asyncio.gather(*(self.start_pod(pod) for pod in pods))
        return [await self.collector(pod, name) for pod in pods]

    async def create_pipeline(self, name: str, stages: Sequence[Mapping[str, Any]], **spec: Any) -> Any:
        return await self.api.create(
            paths.pipelines(self.namespace),
            {
                "apiVersion": paths.API_VERSION,
                "kind": "Pipeline",
                "metadata": {"name": name},
                "spec": {"stages": list(stages), **spec},
            },
        )

    async def replicas(self, name: str) -> int:
        found = await self.api.get(paths.stateful_sets(self.namespace, name))
        return int(found["spec"]["replicas"])

    async def status(self, name: str) -> dict[str, Any]:
        found = await self.found(paths.pipelines(self.namespace, name))
        return dict((found or {}).get("status") or {})

    async def condition(self, name: str, kind: str) -> dict[str, Any]:
        """One condition of a Pipeline; empty while it is not set."""
        conditions = (await self.status(name)).get("conditions", ())
        return next((dict(one) for one in conditions if one["type"] == kind), {})

    async def found(self, path: str) -> Any:
        """The object; None when there is none."""
        try:
            return await self.api.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise


@contextlib.asynccontextmanager
async def a_stand(
    access: Access, prefix: str = "trial", *, overwrite_crd: bool = True
) -> AsyncIterator[Stand]:
    """A new namespace with the CRD in place; it is deleted afterwards."""
    async with Api(access) as api:
        await install_crd(api, overwrite=overwrite_crd)
        namespace = f"{prefix}-{secrets.token_hex(4)}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await api.create("/api/v1/namespaces", body)
        stand = Stand(api, access, namespace)
        try:

            async def account() -> Any:
                return await stand.found(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")

            await until(account, "the namespace's service account")
            async with stand.stack:
                yield stand
        finally:
            await api.delete(f"/api/v1/namespaces/{namespace}")
