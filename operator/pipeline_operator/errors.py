"""Errors of the operator that a user can meet; their kin are in pipeline.errors."""

from __future__ import annotations

from pipeline.errors import EXIT_USAGE, RinglineError


class SpecError(RinglineError):
    """A Pipeline asks for what cannot be. Carries every fault, one line each: field path, value, limit."""

    exit_code = EXIT_USAGE

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class RecordError(RinglineError):
    """A line is no decision record of ours; says which line and why."""

    exit_code = EXIT_USAGE


class TraceError(RinglineError):
    """A trace for the simulation cannot be read; says which line, which value and what is allowed."""

    exit_code = EXIT_USAGE
