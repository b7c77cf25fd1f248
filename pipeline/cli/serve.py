"""What a worker's command does around its work: signals, its parent's death, its last words."""

from __future__ import annotations

from collections.abc import Callable

from pipeline import limits
from pipeline.config import Config
from pipeline.errors import RinglineError
from pipeline.process import StopFlag, announce_failure, die_with_parent


def serve(config: Config, work: Callable[[StopFlag], int]) -> int:
    """Runs `work` until it returns, which it should soon after its flag is set; returns its exit code."""
    stop = StopFlag()
    stop.listen(leave_after_s=config.supervisor.drain_s + limits.LEAVE_GRACE_S)
    die_with_parent()
    try:
        return work(stop)
    except RinglineError as error:
        # A supervisor that still waits for readiness shows it in its own words; saying it twice helps nobody.
        if announce_failure(str(error)):
            return error.exit_code
        raise
