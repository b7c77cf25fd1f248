"""`ringline status`: what runs, where it listens and how it does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import click
import msgspec
from msgspec.structs import replace

from pipeline.autoscale.state import read_state
from pipeline.cli.autoscale_table import show_autoscale
from pipeline.cli.http import request
from pipeline.cli.link_table import links_of, show_links
from pipeline.cli.output import print_json, print_table
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_MISSING, EXIT_OK, MissingError
from pipeline.snapshot import Latency, Replica, Snapshot, decode_snapshot
from pipeline.supervisor import Status, is_running, read_status
from pipeline.supervisor.status import ProcessStatus

TIMEOUT_S = 5.0
NOTHING = "–"
READY = 200


class Said(msgspec.Struct):
    """What is of interest in a problem document (RFC 9457)."""

    title: str = ""
    detail: str = ""


class Stopped(msgspec.Struct):
    """The keys of which a gateway takes nothing, some of them with the reason."""

    stopped: dict[str, str] = {}
    stopped_keys: int = 0


@click.command("status")
@click.option("--links", "with_links", is_flag=True, help="Also every queue and link, and the hot keys.")
@json_option
@with_config
def command(config: Config, with_links: bool, as_json: bool) -> int:
    """Show what runs, where it listens and how it does.

    Exit code 3 when no pipeline runs in the data folder, when a part of it is down, or when its gateway
    refuses events, be it those of one key.

    \b
    Example:
      ringline status
      ringline status --links
      ringline status --json --set data_dir=/srv/ringline
    """
    status = read_status(config.data_dir)
    if status is None:
        doing = "is starting or leaving" if is_running(config.data_dir) else "is not running"
        raise MissingError(f"data_dir {config.data_dir}: the pipeline {doing}; `ringline up` starts one")
    unready = {name: reason for name in _running_gateways(status) if (reason := _unready(status, name))}
    processes = (replace(one, ready=one.ready and one.name not in unready) for one in status.processes)
    status = replace(status, processes=tuple(processes))
    snapshot, fault = _snapshot(status)
    stopped = _stopped(status, unready)
    reports = links_of(config)
    standing = tuple(dict.fromkeys(told for report in reports for told in report.standing))
    links = reports if with_links else None
    # Left by a pipeline before this one, it says nothing of it.
    scaling = read_state(config.data_dir)
    scaling = scaling if scaling is not None and scaling.at_us >= status.started_us else None
    if as_json:
        facts = {"status": status, "unready": unready, "snapshot": snapshot, "fault": fault}
        facts["standing"] = standing
        facts |= {"autoscale": scaling, "stopped": stopped.stopped, "stopped_keys": stopped.stopped_keys}
        print_json(facts if links is None else facts | {"links": links})
    else:
        _show(status, unready, snapshot, fault)
        _show_stopped(stopped)
        for told in standing:
            click.echo(f"\nHalted for every key that is new: {told}")
        if scaling is not None:
            show_autoscale(scaling)
        show_links(links or [])
    healthy = (
        snapshot is not None
        and not stopped.stopped_keys
        and all(process.ready or process.leaving for process in status.processes)
    )
    return EXIT_OK if healthy else EXIT_MISSING


def _running_gateways(status: Status) -> list[str]:
    return [process.name for process in status.processes if process.ready and process.stage == "gateway"]


def _unready(status: Status, name: str) -> str:
    """Why gateway `name` refuses events, in its own words; empty when it takes them."""
    url = f"{status.endpoints[name]}/readyz"
    try:
        answer = request("GET", url, timeout_s=TIMEOUT_S)
    except MissingError as error:
        return str(error)
    if answer.status == READY:
        return ""
    try:
        said = msgspec.json.decode(answer.body, type=Said)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = Said()
    return said.detail or said.title or f"GET {url}: {answer.status}"


def _stopped(status: Status, unready: Mapping[str, str]) -> Stopped:
    for name in _running_gateways(status):
        if name not in unready:
            try:
                answer = request("GET", f"{status.endpoints[name]}/readyz", timeout_s=TIMEOUT_S)
                return msgspec.json.decode(answer.body, type=Stopped)
            except (MissingError, msgspec.DecodeError, UnicodeDecodeError):
                return Stopped()
    return Stopped()


def _show_stopped(stopped: Stopped) -> None:
    if not stopped.stopped_keys:
        return
    click.echo(f"\nALARM: {stopped.stopped_keys} keys are stopped; `ringline audit reconcile` repairs them:")
    for reason in stopped.stopped.values():
        click.echo(f"  {reason}")
    if stopped.stopped_keys > len(stopped.stopped):
        click.echo(f"  and {stopped.stopped_keys - len(stopped.stopped)} more")


def _snapshot(status: Status) -> tuple[Snapshot | None, str]:
    """What the collector knows, or why that is unknown."""
    url = f"{status.endpoints['collector']}/v1/snapshot"
    try:
        answer = request("GET", url, timeout_s=TIMEOUT_S)
    except MissingError as error:
        return None, str(error)
    try:
        return decode_snapshot(answer.body), ""
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return None, f"GET {url}: {answer.status}, and no snapshot: {error}"


def _show(status: Status, unready: Mapping[str, str], snapshot: Snapshot | None, fault: str) -> None:
    started = datetime.fromtimestamp(status.started_us / 1_000_000, UTC)
    click.echo(f"Pipeline in {status.data_dir}: pid {status.pid}, up since {started:%Y-%m-%d %H:%M:%S} UTC\n")
    replicas = {replica.name: replica for replica in snapshot.replicas} if snapshot else {}
    headings = (
        "worker",
        "pid",
        "state",
        "restarts",
        "listens on",
        "handled/s",
        "depth",
        "lag ms",
        "CPU %",
        "MiB",
    )
    rows = [
        _row(process, unready.get(process.name), replicas.get(process.name)) for process in status.processes
    ]
    print_table(headings, rows)
    if snapshot is None:
        click.echo(f"\ncollector: {fault}")
        return
    end_to_end = next((found for found in snapshot.totals if found.event == "END_TO_END"), None)
    click.echo(f"\nAccept to settled since the start: {_latency(end_to_end)}")
    outcomes = ", ".join(f"{name} {count}" for name, count in snapshot.outcomes.items() if count)
    click.echo(f"Outcomes: {outcomes or 'none yet'}")
    for dead in snapshot.dead:
        inside = f" inside {' > '.join(dead.inside)}" if dead.inside else ""
        click.echo(f"Died: {dead.name} (pid {dead.pid}){inside}")


def _row(process: ProcessStatus, unready: str | None, replica: Replica | None) -> tuple[str, ...]:
    state = "ready" if process.ready else "starting" if process.pid else "waiting"
    state = "leaving" if process.leaving else state
    if unready:
        state = f"unready: {unready}"
    known = (str(process.pid), state, str(process.restarts), process.endpoint)
    if replica is None:
        return (process.name, *known, *([NOTHING] * 5))
    counts = next((found for found in replica.counts if found.window_s == 5), None)
    return (
        process.name,
        *known,
        _number(counts.handled / counts.window_s if counts else None, 0),
        str(replica.depth),
        _number(replica.lag_ms, 1),
        _number(replica.cpu_percent, 0),
        _number(replica.memory_bytes / 2**20 if replica.memory_bytes is not None else None, 0),
    )


def _latency(latency: Latency | None) -> str:
    if latency is None or latency.count == 0:
        return "nothing measured yet"
    percentiles = (("p50", latency.p50_ns), ("p95", latency.p95_ns), ("p99", latency.p99_ns))
    shown = ", ".join(f"{name} {_number(_ms(ns), 2)} ms" for name, ns in percentiles)
    lost = f", {latency.lost} lost" if latency.lost else ""
    return f"{shown} ({latency.count} events{lost})"


def _ms(duration_ns: int | None) -> float | None:
    return None if duration_ns is None else duration_ns / 1_000_000


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"
