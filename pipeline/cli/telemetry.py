"""`ringline telemetry`: what records, and what a writer did last."""

from __future__ import annotations

import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click

from pipeline.cli.output import print_json
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_OK, MissingError


@click.group("telemetry")
def command() -> None:
    """Look at telemetry: which writer is in use, which rings there are, what a writer did last.

    \b
    Example:
      ringline telemetry flight agent-0
    """


@command.command("info")
@json_option
@with_config
def info(config: Config, as_json: bool) -> int:
    """Say which writer is in use (C or Python, and why), and list the rings.

    \b
    Example:
      ringline telemetry info
    """
    from pipeline.telemetry.native import reader_name, why_python, writer_name
    from pipeline.telemetry.recorder import telemetry_directory

    directory = telemetry_directory(config)
    clock = time.get_clock_info("monotonic")
    facts: dict[str, Any] = {
        "writer": writer_name(),
        "because": why_python or "the C extension is built",
        "reader": reader_name(),
        "python": f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}",
        "clock": f"{clock.implementation}, {clock.resolution * 1e9:g} ns",
        "directory": str(directory),
        "free_bytes": _free_bytes(directory),
        "rings": _rings(directory),
    }
    if as_json:
        print_json(facts)
        return EXIT_OK
    for name, value in facts.items():
        if name != "rings":
            click.echo(f"{name.replace('_', ' '):<12}{value}")
    click.echo(f"{'rings':<12}{len(facts['rings'])}")
    for ring in facts["rings"]:
        click.echo("  " + "  ".join(f"{key} {value}" for key, value in ring.items()))
    return EXIT_OK


@command.command("flight")
@click.argument("subject", metavar="PID|WORKER|FILE")
@click.option(
    "--seconds", type=click.FloatRange(0.001, 3600), default=1, show_default=True, help="How far back."
)
@with_config
def flight(config: Config, subject: str, seconds: float) -> int:
    """Print the last second of a writer as a timeline: also of one that crashed.

    A collector keeps the last moments of the newest eight writers that crashed, until it leaves.

    \b
    Example:
      ringline telemetry flight agent-0 --seconds 0.2
    """
    from pipeline.telemetry.flight import find_flights, read_flight, timeline
    from pipeline.telemetry.layout import RefusedRingError
    from pipeline.telemetry.recorder import telemetry_directory

    directory = telemetry_directory(config)
    paths = [Path(subject)] if Path(subject).is_file() else find_flights(directory, subject)
    if not paths:
        raise MissingError(f"{subject}: no ring of such a pid or worker in {directory}, and no such file")
    for path in paths:
        try:
            found = read_flight(path)
        except (RefusedRingError, OSError) as error:
            raise MissingError(f"{path}: cannot be read as a ring: {error}") from None
        for line in timeline(found, seconds):
            sys.stdout.write(line + "\n")
    return EXIT_OK


def _rings(directory: Path) -> list[dict[str, Any]]:
    from pipeline.telemetry.layout import RefusedRingError
    from pipeline.telemetry.left_rings import RING_SUFFIX

    found: list[dict[str, Any]] = []
    for path in sorted(directory.glob("*" + RING_SUFFIX)):
        try:
            found.append(_ring(path))
        except (RefusedRingError, OSError) as error:
            found.append({"file": path.name, "refused": str(error)})
    return found


def _ring(path: Path) -> dict[str, Any]:
    from pipeline.telemetry.layout import Mode
    from pipeline.telemetry.reader import RingReader

    reader = RingReader.attach(path)
    try:
        identity = reader.identity
        return {
            "worker": identity.worker,
            "pid": identity.pid,
            "entries": identity.capacity,
            "mode": Mode(identity.mode).name.lower(),
            "waiting": reader.waiting,
            "dropped": reader.dropped,
            "heartbeat_s": round((time.monotonic_ns() - reader.heartbeat_ns) / 1e9, 3),
            "alive": not reader.writer_is_gone(),
        }
    finally:
        reader.close()


def _free_bytes(directory: Path) -> int | None:
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return shutil.disk_usage(directory).free
