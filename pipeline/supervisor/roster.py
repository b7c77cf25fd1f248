"""Which processes a configuration asks for, in the order in which they start."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.config import Config
from pipeline.config.check import PORT_STRIDE
from pipeline.config.schema import Agent, Audit, Exec

START_ORDER = ("collector", "feed", "audit", "exec", "agent", "gateway")
"""Downstream first, so that nobody sends before somebody listens; they leave in the reverse order, so
that what is in flight finds its way to the end, and from there to the feed's clients."""
UNNUMBERED = ("collector", "feed")


class Worker(NamedTuple):
    """One process to run. Those of which there is one at most have no number in their names."""

    stage: str
    ordinal: int

    @property
    def name(self) -> str:
        return self.stage if self.stage in UNNUMBERED else f"{self.stage}-{self.ordinal}"


def roster(config: Config) -> tuple[Worker, ...]:
    """Every worker, in order of start."""
    counts = {"audit": config.audit.workers, "exec": config.exec.workers, "agent": config.agent.workers}
    counts["feed"] = int(config.feed.enabled)
    return tuple(Worker(stage, ordinal) for stage in START_ORDER for ordinal in range(counts.get(stage, 1)))


def endpoint_of(config: Config, worker: Worker) -> str:
    """Where a worker listens."""
    if worker.stage == "gateway":
        scheme = "https" if config.gateway.tls_cert_file else "http"
        return f"{scheme}://{_host(config.gateway.host)}:{config.gateway.port}"
    if worker.stage == "collector":
        return f"http://{_host(config.telemetry.host)}:{config.telemetry.port}"
    if worker.stage == "feed":
        return f"http://{_host(config.feed.host)}:{config.feed.port}"
    stage: Agent | Exec | Audit = getattr(config, worker.stage)
    return f"tcp://{_host(stage.host)}:{stage.port + PORT_STRIDE * worker.ordinal}"


def endpoints(config: Config) -> dict[str, str]:
    """Where each worker of the configuration listens, by its name."""
    return {worker.name: endpoint_of(config, worker) for worker in reversed(roster(config))}


def _host(host: str) -> str:
    """An IPv6 address needs brackets beside a port."""
    return f"[{host}]" if ":" in host else host
