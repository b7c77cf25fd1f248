"""The stages: thin, each joins transport, storage, trading and telemetry into a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline import limits
from pipeline.config import Config
from pipeline.errors import UsageError

STAGES = ("gateway", "agent", "exec", "audit")


class Stop(Protocol):
    """Asked to leave? `fd` becomes readable when so."""

    def is_set(self) -> bool: ...

    @property
    def fd(self) -> int: ...


def worker_ordinal(stage: str, index: int, replica: str, config: Config) -> int:
    """The ordinal of a replica's worker `index`; `replica` is a pod's name, empty on one machine.

    Raises UsageError for a name without a number and for a worker that replicas of this stage do not have.
    """
    if not replica:
        return index
    number = replica.rpartition("-")[2]
    if not (number.isascii() and number.isdigit()):
        raise UsageError(f"replica {replica!r}: expected a pod's name with its number, such as exec-0")
    workers = 1 if stage in ("gateway", "valuation") else getattr(config, stage).workers
    if index >= workers:
        raise UsageError(f"ordinal {index}: a replica of {stage} has {workers} worker(s), from 0 on")
    ordinal = int(number) * workers + index
    if ordinal >= limits.MAX_ORDINAL:
        raise UsageError(f"replica {replica!r}: its workers would be above {limits.MAX_ORDINAL - 1}")
    return ordinal


def run_worker(stage: str, ordinal: int, config: Config, ready: Callable[[], None], stop: Stop) -> int:
    """Runs worker `ordinal` of `stage` in this process until `stop`; calls `ready` once it serves.

    Returns the exit code. Raises RinglineError when it cannot start.
    """
    if stage == "gateway":
        from pipeline.stages.gateway.worker import run_gateway

        if ordinal:
            raise UsageError(f"gateway ordinal {ordinal}: there is one gateway, ordinal 0")
        return run_gateway(config, ready, stop)
    if stage == "valuation":
        from pipeline.stages.valuation.worker import run_valuation

        if ordinal:
            raise UsageError(f"valuation ordinal {ordinal}: there is one valuation, ordinal 0")
        return run_valuation(config, ready, stop)
    from pipeline.stages import workers

    runners = {"agent": workers.run_agent, "exec": workers.run_exec, "audit": workers.run_audit}
    if stage not in runners:
        raise UsageError(f"stage {stage!r}: expected one of {', '.join(STAGES)}, valuation")
    return runners[stage](ordinal, config, ready, stop)
