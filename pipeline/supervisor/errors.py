"""Why a pipeline cannot run."""

from __future__ import annotations

from pipeline.errors import EXIT_USAGE, MissingError


class SupervisorError(MissingError):
    """A worker cannot be started or kept running. What runs still runs: stop the supervisor."""


class RefusedError(SupervisorError):
    """A worker refuses its configuration; starting it again changes nothing."""

    exit_code = EXIT_USAGE
