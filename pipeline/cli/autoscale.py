"""What `ringline up --autoscale` adds: the embedded autoscaler beside the supervisor, and how it is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import click

from pipeline import limits
from pipeline.autoscale.autoscaler import Autoscaler
from pipeline.autoscale.listener import Listener
from pipeline.autoscale.settings import SCALED, make_spec, parse_bounds, scaled_config, sketches
from pipeline.autoscale.state import state_file
from pipeline.cli.http import request
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.supervisor import Supervisor, endpoints
from pipeline.supervisor.status import write_atomically
from pipeline_operator.runtime.records import RecordLog

RECORDS = "decisions.jsonl"


class Scaling:
    """From the words of a command line to an autoscaler that ticks. A context manager: leaving it ends the
    listening. Raises RinglineError for bounds or a policy that cannot be followed."""

    def __init__(self, config: Config, bounds: Iterable[str], policy: Path | None) -> None:
        self.spec = make_spec(config, parse_bounds(bounds), policy)
        self.config = scaled_config(config, self.spec)
        """Under which the supervisor is to run."""
        self._stack = contextlib.ExitStack()
        self._autoscaler: Autoscaler | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self, supervisor: Supervisor, say: Callable[[str], None]) -> None:
        """Once all workers are ready."""
        clock, data_dir = SystemClock(), self.config.data_dir
        wanted = sketches(self.spec)
        url = f"{endpoints(self.config)['collector']}/v1/snapshot" + (f"?sketches={wanted}" if wanted else "")
        listener = Listener(lambda: request("GET", url, timeout_s=limits.AUTOSCALE_ASK_S).body, clock)
        file = (Path(data_dir) / RECORDS).resolve()
        records = RecordLog(str(file))
        self._stack.callback(records.close)
        self._stack.callback(listener.close)

        def keep(state: bytes) -> None:
            with contextlib.suppress(OSError):  # a full disk must not stop the scaling
                write_atomically(state_file(data_dir), state)

        listener.start()
        self._autoscaler = Autoscaler(
            self.spec, supervisor, listener.newest, clock,
            records=records, records_file=str(file), tell=say, keep=keep,
        )  # fmt: skip
        click.echo(f"Autoscaling: {self._told()}; decisions are kept in {file}\n")

    def tick(self) -> None:
        """Decides when a decision is due."""
        if self._autoscaler is not None:
            self._autoscaler.tick()

    def _told(self) -> str:
        return ", ".join(
            f"{stage.name} {stage.min_replicas} to {stage.max_replicas}"
            for stage in self.spec.stages
            if stage.name in SCALED
        )
