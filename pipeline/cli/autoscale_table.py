"""What the embedded autoscaler does, as `ringline status` shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from pipeline.autoscale.state import AutoscaleState, Change
from pipeline.cli.output import print_table

SHOWN = 5
NOTHING = "–"


def show_autoscale(state: AutoscaleState) -> None:
    """The last decision, what each stage has, and the last changes."""
    click.echo(f"\nAutoscaling ({state.mode}): {state.sentence}")
    rows = [
        (
            stage.stage,
            f"{stage.least}–{stage.most}",
            str(stage.workers),
            str(stage.ready),
            NOTHING if stage.lag_ms is None else f"{stage.lag_ms:,}",
            NOTHING if stage.capacity_per_s is None else f"{stage.capacity_per_s:,.0f}",
        )
        for stage in state.stages
    ]
    print_table(("stage", "bounds", "workers", "ready", "lag ms", "one does /s"), rows)
    for kind, message in state.conditions.items():
        if message:
            click.echo(f"{kind}: {message}")
    for change in state.changes[-SHOWN:]:
        click.echo(f"{_at(change.decided_us)}  {change.sentence}{_since(change)}")


def _since(change: Change) -> str:
    """How long each step took, counted from the breach."""
    if change.breach_us is None:
        return ""
    steps = (("decided", change.decided_us), ("ready", change.ready_us), ("SLA met", change.met_us))
    told = [f"{name} {(at - change.breach_us) / 1e6:.1f} s" for name, at in steps if at is not None]
    return f" After the breach: {', '.join(told)}."


def _at(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).strftime("%H:%M:%S")
