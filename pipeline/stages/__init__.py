"""The stages: thin, each joins transport, storage, trading and telemetry into a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.config import Config
from pipeline.errors import UsageError

STAGES = ("gateway", "agent", "exec", "audit")


class Stop(Protocol):
    """Asked to leave? `fd` becomes readable when so."""

    def is_set(self) -> bool: ...

    @property
    def fd(self) -> int: ...


def run_worker(stage: str, ordinal: int, config: Config, ready: Callable[[], None], stop: Stop) -> int:
    """Runs worker `ordinal` of `stage` in this process until `stop`; calls `ready` once it serves.

    Returns the exit code. Raises RinglineError when it cannot start.
    """
    if stage == "gateway":
        from pipeline.stages.gateway.worker import run_gateway

        if ordinal:
            raise UsageError(f"gateway ordinal {ordinal}: there is one gateway, ordinal 0")
        return run_gateway(config, ready, stop)
    from pipeline.stages import workers

    runners = {"agent": workers.run_agent, "exec": workers.run_exec, "audit": workers.run_audit}
    if stage not in runners:
        raise UsageError(f"stage {stage!r}: expected one of {', '.join(STAGES)}")
    return runners[stage](ordinal, config, ready, stop)
