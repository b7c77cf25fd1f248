"""A Lease in a watched namespace: of two operators that overlap, one writes.

The holder is judged by our own monotonic clock, never by the times in the Lease: those are other machines'
(as client-go's leaderelection does it). `leaseTransitions` counts holders, and so tells a newer one.
"""

from __future__ import annotations

import logging
from typing import Any

from pipeline.clock import NS_PER_S, Clock
from pipeline_operator import limits
from pipeline_operator.kube import paths
from pipeline_operator.kube.client import Api
from pipeline_operator.kube.errors import ApiAwayError, ApiError
from pipeline_operator.kube.times import micro_text_of

logger = logging.getLogger(__name__)
NAME = "ringline-operator"


def lease_name(operator: str) -> str:
    """Of Pipelines that are meant for this operator; empty: for anybody."""
    return f"{NAME}-{operator}" if operator else NAME


class Lease:
    """One of a namespace. `step` every LEASE_RENEW_EVERY_S; write only while `held`."""

    def __init__(self, api: Api, namespace: str, identity: str, clock: Clock, name: str = NAME) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._renewed_ns: int | None = None
        self._seen: tuple[str, int] | None = None
        """The Lease's resourceVersion, and since when we see this one."""
        self._complaint = ""
        self.holder = ""
        self.transitions = 0
        """The fencing token of the current holder."""

    @property
    def held(self) -> bool:
        """Ours, and renewed recently enough that nobody else can hold it."""
        if self._renewed_ns is None or self.holder != self._identity:
            return False
        return self._clock.monotonic_ns() - self._renewed_ns < limits.LEASE_DEADLINE_S * NS_PER_S

    async def step(self) -> None:
        """Take it, renew it, or see whose it is. Failures are logged: `held` ends by itself."""
        try:
            await self._step()
        except ApiError as error:
            if error.status != 409:  # 409: somebody else was faster; the next step sees who
                self._complain(str(error))
        except ApiAwayError as error:
            self._complain(str(error))

    async def release(self) -> None:
        """Give it back, so that the next one need not wait. Failures are of no consequence."""
        if not self.held:
            return
        try:
            lease = await self._api.get(paths.leases(self._namespace, self._name))
            if (lease.get("spec") or {}).get("holderIdentity") == self._identity:
                lease["spec"].update({"holderIdentity": "", "leaseDurationSeconds": 1})
                await self._api.replace(paths.leases(self._namespace, self._name), lease)
        except (ApiError, ApiAwayError) as error:
            logger.info("Lease %s/%s was not given back: %s", self._namespace, self._name, error)
        self._renewed_ns = None

    async def _step(self) -> None:
        asked_ns = self._clock.monotonic_ns()
        try:
            lease = await self._api.get(paths.leases(self._namespace, self._name))
        except ApiError as error:
            if error.status != 404:
                raise
            await self._write(self._new(), asked_ns, create=True)
            return
        spec: dict[str, Any] = lease.get("spec") or {}
        if spec.get("holderIdentity") == self._identity:
            spec["renewTime"] = micro_text_of(self._clock.wall_us())
            await self._write(lease, asked_ns)
            return
        self._note(spec.get("holderIdentity") or "", int(spec.get("leaseTransitions") or 0))
        if self._expired(lease, spec, asked_ns):
            lease["spec"] = self._spec(transitions=self.transitions + 1)
            await self._write(lease, asked_ns)

    def _expired(self, lease: dict[str, Any], spec: dict[str, Any], now_ns: int) -> bool:
        version = str(lease["metadata"]["resourceVersion"])
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now_ns)
        if not spec.get("holderIdentity"):
            return True
        duration_s = min(int(spec.get("leaseDurationSeconds") or limits.LEASE_DURATION_S), 3600)
        return now_ns - self._seen[1] >= duration_s * NS_PER_S

    async def _write(self, lease: dict[str, Any], asked_ns: int, *, create: bool = False) -> None:
        if create:
            written = await self._api.create(paths.leases(self._namespace), lease)
        else:
            written = await self._api.replace(paths.leases(self._namespace, self._name), lease)
        self._renewed_ns = asked_ns  # when it was asked, not when it was answered: the safe side
        self._note(self._identity, int(written["spec"].get("leaseTransitions") or 0))

    def _complain(self, text: str) -> None:
        """Once, not at each step."""
        if text != self._complaint:
            logger.warning("Lease %s/%s: %s", self._namespace, self._name, text)
        self._complaint = text

    def _note(self, holder: str, transitions: int) -> None:
        if holder != self.holder:
            logger.info("Lease %s/%s is held by %s", self._namespace, self._name, holder or "nobody")
        self.holder, self.transitions = holder, transitions

    def _new(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(transitions=0),
        }

    def _spec(self, *, transitions: int) -> dict[str, Any]:
        now = micro_text_of(self._clock.wall_us())
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": limits.LEASE_DURATION_S,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
