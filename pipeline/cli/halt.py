"""`ringline halt`: a control event for every key."""

from __future__ import annotations

from pipeline.cli.controls import control_command
from pipeline.messages import Action

command = control_command(
    Action.HALT,
    """Refuse every entry of every strategy and symbol until a resume; exits pass.

    It is sent again, as the same event, until the gateway has it on disk, and then awaited in the audit: one
    row for each key. Exit code 1 when it is refused or not audited in time, 3 when the gateway cannot be
    reached.

    \b
    Example:
      ringline halt --reason "fat finger"
      ringline halt --json --timeout 5
    """,
)
