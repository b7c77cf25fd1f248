"""Who is there to connect to: the endpoints of a stage's workers by ordinal.

A worker is what keys map to. With replicas, each of `workers` workers, worker k of replica r is ordinal
r · workers + k of its stage, and listens on the stage's port + 10·k.
"""

from __future__ import annotations

from typing import Protocol

from pipeline.config.check import PORT_STRIDE
from pipeline.config.schema import Agent, Audit, Exec


class Members(Protocol):
    """Asked with each heartbeat, so it must not wait for anything; absence never closes a link."""

    def endpoints(self) -> dict[int, str]:
        """ordinal → ZeroMQ endpoint."""

    def close(self) -> None:
        """Looks nothing up any more."""


class FixedMembers:
    """A stage whose workers are known beforehand."""

    def __init__(self, endpoints: dict[int, str]) -> None:
        self._endpoints = dict(endpoints)

    def endpoints(self) -> dict[int, str]:
        return self._endpoints

    def close(self) -> None: ...


def endpoint(host: str, port: int, index: int) -> str:
    """Where worker `index` of a replica, or of this machine, listens."""
    return f"tcp://{host}:{port + PORT_STRIDE * index}"


def own_endpoint(stage: Agent | Exec | Audit, ordinal: int) -> str:
    """Where worker `ordinal` of a stage listens itself."""
    return endpoint(stage.host, stage.port, own_index(stage, ordinal))


def own_index(stage: Agent | Exec | Audit, ordinal: int) -> int:
    """Which worker of its replica `ordinal` is; on one machine all are of one."""
    return ordinal % stage.workers if stage.members == "dns" else ordinal


def local_members(stage: Agent | Exec | Audit) -> FixedMembers:
    """The workers of a stage on this machine, as configured."""
    return FixedMembers({k: endpoint(stage.host, stage.port, k) for k in range(stage.workers)})
