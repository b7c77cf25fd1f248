"""Which processes a configuration asks for, in the order in which they start."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.config import Config
from pipeline.config.check import PORT_STRIDE

START_ORDER = ("collector", "feed", "valuation", "audit", "exec", "agent", "gateway")
"""Downstream first, so that nobody sends before somebody listens; they leave in the reverse order, so
that what is in flight finds its way to the end, and from there to the feed's clients."""
UNNUMBERED = ("collector", "feed", "valuation")


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
    counts["valuation"] = int(config.valuation.enabled)
    return tuple(Worker(stage, ordinal) for stage in START_ORDER for ordinal in range(counts.get(stage, 1)))


def endpoints(config: Config) -> dict[str, str]:
    """Where each worker listens, by its name."""
    collector = config.telemetry
    scheme = "https" if config.gateway.tls_cert_file else "http"
    found = {
        "gateway-0": f"{scheme}://{_host(config.gateway.host)}:{config.gateway.port}",
        "collector": f"http://{_host(collector.host)}:{collector.port}",
        "feed": f"http://{_host(config.feed.host)}:{config.feed.port}",
        "valuation": f"http://{_host(config.valuation.host)}:{config.valuation.port}",
    }
    for name, stage in (("agent", config.agent), ("exec", config.exec), ("audit", config.audit)):
        for ordinal in range(stage.workers):
            port = stage.port + PORT_STRIDE * ordinal
            found[f"{name}-{ordinal}"] = f"tcp://{_host(stage.host)}:{port}"
    return {worker.name: found[worker.name] for worker in reversed(roster(config))}


def _host(host: str) -> str:
    """An IPv6 address needs brackets beside a port."""
    return f"[{host}]" if ":" in host else host
