"""`ringline collector`: the telemetry collector."""

from __future__ import annotations

import click

from pipeline.cli.serve import serve
from pipeline.cli.session import with_config
from pipeline.config import Config
from pipeline.process import announce_ready


@click.command("collector")
@with_config
def command(config: Config) -> int:
    """Run the telemetry collector (what a container runs).

    It drains every worker's ring and serves /metrics, /v1/snapshot and /v1/stream. telemetry.sla gives
    limits in milliseconds by event and percentile; other events are judged as by default.

    \b
    Example:
      ringline collector --set telemetry.port=9464 --set telemetry.sla.AGENT_DECISION.p99_9=50
    """
    from pipeline.telemetry import run_collector

    return serve(config, lambda stop: run_collector(config, stop, announce_ready))
