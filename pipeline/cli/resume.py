"""`ringline resume`: a control event for every key."""

from __future__ import annotations

from pipeline.cli.controls import control_command
from pipeline.messages import Action

command = control_command(
    Action.RESUME,
    """Allow entries again after a halt or a flatten.

    Sent and awaited as `ringline halt`. Exit code 1 when it is refused or not audited in time, 3 when the
    gateway cannot be reached.

    \b
    Example:
      ringline resume --reason "checked"
    """,
)
