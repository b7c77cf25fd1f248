"""Who is there to connect to: the endpoints of a stage's workers by ordinal."""

from __future__ import annotations

from typing import Protocol

from pipeline.config.check import PORT_STRIDE
from pipeline.config.schema import Agent, Audit, Exec


class Members(Protocol):
    """Looked up each second; absence never closes a link."""

    def endpoints(self) -> dict[int, str]:
        """ordinal → ZeroMQ endpoint."""


class FixedMembers:
    """A stage whose workers are known beforehand."""

    def __init__(self, endpoints: dict[int, str]) -> None:
        self._endpoints = dict(endpoints)

    def endpoints(self) -> dict[int, str]:
        return self._endpoints


def endpoint(host: str, port: int, ordinal: int) -> str:
    """Where worker `ordinal` of a stage listens."""
    return f"tcp://{host}:{port + PORT_STRIDE * ordinal}"


def local_members(stage: Agent | Exec | Audit) -> FixedMembers:
    """The workers of a stage on this machine, as configured."""
    return FixedMembers({k: endpoint(stage.host, stage.port, k) for k in range(stage.workers)})
