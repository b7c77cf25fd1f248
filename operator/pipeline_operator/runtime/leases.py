"""Which Pipelines this operator may decide on: a Lease for each operator's name in each watched namespace.

A Pipeline says whom it is meant for (`spec.operator`), and so which Lease is to be held to decide on it: one,
whoever looks at it. So no two operators decide on one Pipeline, however their wishes overlap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from pipeline.clock import Clock
from pipeline_operator.kube.client import Api
from pipeline_operator.kube.lease import Lease, lease_name
from pipeline_operator.runtime.seen import SeenPipeline

Key = tuple[str, str]
"""(namespace, operator)."""


class Leases:
    """`step` now and then, and when `want` says so."""

    def __init__(self, api: Api, namespaces: Iterable[str], name: str, identity: str, clock: Clock) -> None:
        """With a `name` it serves Pipelines that are meant for it or for anybody; without, all."""
        self._api, self._identity, self._clock = api, identity, clock
        self._name = name
        self._base = {(namespace, who) for namespace in namespaces for who in {"", name}}
        self._leases = {key: self._new(key) for key in sorted(self._base)}
        self._left: list[Lease] = []

    def serves(self, pipeline: SeenPipeline) -> bool:
        """Whether it is for us to decide, if we hold its Lease."""
        return not self._name or pipeline.operator in ("", self._name)

    def held(self, pipeline: SeenPipeline) -> bool:
        lease = self._leases.get((pipeline.namespace, pipeline.operator))
        return self.serves(pipeline) and lease is not None and lease.held

    def transitions(self, pipeline: SeenPipeline) -> int:
        """The fencing token of its Lease's holder; 0 when nobody is known to hold it."""
        lease = self._leases.get((pipeline.namespace, pipeline.operator))
        return 0 if lease is None else lease.transitions

    def want(self, pipelines: Iterable[SeenPipeline]) -> bool:
        """Have the Leases of those that we serve, and give back the others; True when one is new."""
        wanted = {(one.namespace, one.operator) for one in pipelines if self.serves(one)} | self._base
        for key in self._leases.keys() - wanted:
            self._left.append(self._leases.pop(key))
        new = wanted - self._leases.keys()
        self._leases |= {key: self._new(key) for key in sorted(new)}
        return bool(new)

    async def step(self) -> None:
        """Take them, renew them, or see whose they are. Failures are logged."""
        left, self._left = self._left, []
        await asyncio.gather(
            *(lease.step() for lease in self._leases.values()), *(lease.release() for lease in left)
        )

    def told(self) -> dict[tuple[str, str], bool]:
        """(namespace, name of the Lease) → whether it is ours."""
        return {(namespace, lease_name(who)): lease.held for (namespace, who), lease in self._leases.items()}

    async def release(self) -> None:
        """Give all back."""
        await asyncio.gather(*(lease.release() for lease in (*self._leases.values(), *self._left)))

    def _new(self, key: Key) -> Lease:
        return Lease(self._api, key[0], self._identity, self._clock, lease_name(key[1]))
