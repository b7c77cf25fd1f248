"""`ringline flatten`: a control event for every key."""

from __future__ import annotations

from pipeline.cli.controls import control_command
from pipeline.messages import Action

command = control_command(
    Action.FLATTEN,
    """Close every position of every strategy and symbol, and refuse entries until a resume.

    Entries that wait are taken back. Exits are never refused; under a fill policy whose orders wait they fill
    on each symbol's next candle. Sent and awaited as `ringline halt`. Exit code 1 when it is refused or not
    audited in time, 3 when the gateway cannot be reached.

    \b
    Example:
      ringline flatten --reason "venue down" --json
    """,
)
