"""`ringline feed`: serve, tail, replay, probe."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.audit_file import open_audit
from pipeline.cli.output import print_json, print_table
from pipeline.cli.serve import serve as run_process
from pipeline.cli.session import feed_token_option, feed_url_option, json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_NO, EXIT_OK, MissingError
from pipeline.process import announce_ready

if TYPE_CHECKING:
    from pipeline.cli.feed_probe import Latencies
    from pipeline.stages.feed.manifest import Manifest

RECONNECT_S = 0.5
ATTEMPTS = 20
"""In a row without a message in between; then the feed is away."""


@click.group("feed")
def command() -> None:
    """Follow the settled rows live; replay what a session was sent; measure its latency.

    \b
    Example:
      ringline feed tail --from 1 --key AAPL
      ringline feed replay --manifest session.json
      ringline feed probe --seconds 30
    """


@command.command("serve")
@with_config
def serve_command(config: Config) -> int:
    """Serve queries and the feed (what a container runs).

    \b
    Example:
      ringline feed serve --set feed.port=8006
    """
    from pipeline.stages.feed import run_feed

    return run_process(config, lambda stop: run_feed(config, announce_ready, stop))


@command.command()
@click.option(
    "--from", "start", type=click.IntRange(min=1), help="The first row; without it, what settles from now on."
)
@click.option("--key", "keys", multiple=True, metavar="SYMBOL", help="Rows of this symbol. Repeatable.")
@click.option(
    "--outcome", "outcomes", multiple=True, metavar="OUTCOME", help="Rows that ended so. Repeatable."
)
@click.option("--limit", type=click.IntRange(min=1), help="End after so many rows.")
@click.option("--manifest", type=click.Path(path_type=Path), help="Write here what was received, at the end.")
@feed_url_option
@feed_token_option
@json_option
@with_config
def tail(
    config: Config,
    start: int | None,
    keys: tuple[str, ...],
    outcomes: tuple[str, ...],
    limit: int | None,
    manifest: Path | None,
    url: str | None,
    token_env: str | None,
    as_json: bool,
) -> int:
    """Print settled rows as they come, until Ctrl-C; connects again where it was when the feed leaves.

    \b
    Example:
      ringline feed tail
      ringline feed tail --from 1 --outcome filled --json | jq .row.fills
    """
    from pipeline.cli.feed_client import FeedClient
    from pipeline.cli.feed_tail import Following

    client = FeedClient(config, url, token_env)
    following = Following(start, keys, outcomes, limit)
    show = _show_json if as_json else _show_row
    failures = 0
    try:
        while not following.complete:
            before = following.rows
            try:
                following.once(client, show)
                failures = 0
            except MissingError:
                failures = 1 if following.rows > before else failures + 1
                if following.account is None or failures >= ATTEMPTS:
                    raise
            if not following.complete:
                time.sleep(RECONNECT_S)
    except KeyboardInterrupt:
        click.echo(f"ringline: {following.rows} rows; resume with --from {following.next}", err=True)
    if manifest is not None and following.account is not None:
        _write(manifest, following.account.manifest(time.time_ns() // 1000, "the client left"))
    return EXIT_OK


@command.command()
@click.option(
    "--manifest", metavar="FILE|SESSION", help="What to prove: a file, or a session that the feed kept."
)
@click.option("--from", "start", type=click.IntRange(min=1), help="Instead: all rows from this one on.")
@click.option("--rows", "show_rows", is_flag=True, help="Print the rows as well, a JSON line each.")
@json_option
@with_config
def replay(config: Config, manifest: str | None, start: int | None, show_rows: bool, as_json: bool) -> int:
    """Read again what a session was sent, from the audit, and compare it with the session's manifest.

    Every row's bytes are checked against its hash and the hash of the row before. Exit code 1 when the audit
    has not exactly the rows that were sent.

    \b
    Example:
      ringline feed replay --manifest session.json
      ringline feed replay --from 1 --rows | head
    """
    from pipeline.stages.feed.replay import replay as read_again
    from pipeline.stages.feed.worker import renderer

    if (manifest is None) == (start is None):
        raise click.UsageError("give either --manifest or --from")
    render = renderer(config)

    def show(row: Any) -> None:
        if show_rows:
            click.echo(render(row))

    with open_audit(config) as reader:
        if manifest is not None:
            expected = _manifest(config, manifest)
        else:
            expected = _all_from(start or 1, reader.head().seq)
        done = read_again(reader, expected, show)
    if start is not None and done.fault.startswith(("rows:", "first_seq:", "sha256:", "last_seq:")):
        from msgspec.structs import replace

        done = replace(done, fault="")  # there is no manifest that the rows could differ from
    if as_json:
        print_json(
            {
                "ok": done.ok,
                "session": expected.session,
                "detail": done.fault,
                "rows": done.rows,
                "first_seq": done.first_seq,
                "last_seq": done.last_seq,
                "sha256": done.sha256,
            }
        )
    elif done.ok:
        click.echo(
            f"{done.rows} rows, {done.first_seq} to {done.last_seq}, SHA-256 {done.sha256}", err=show_rows
        )
    else:
        click.echo(f"ringline: session {expected.session}: {done.fault}", err=True)
    return EXIT_OK if done.ok else EXIT_NO


@command.command()
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), default=10.0, show_default=True, help="Listen so long."
)
@click.option("--rows", type=click.IntRange(min=1), default=1_000_000, help="End after so many rows.")
@feed_url_option
@feed_token_option
@json_option
@with_config
def probe(
    config: Config, seconds: float, rows: int, url: str | None, token_env: str | None, as_json: bool
) -> int:
    """Measure how long a row takes from the feed's socket to here, one way.

    The clocks' difference is asked for over the same socket, as NTP does, and taken out; it is printed with
    its uncertainty, which is also that of every latency. Without rows there are heartbeats.

    \b
    Example:
      ringline feed probe --seconds 30
      ringline feed probe --url https://desk.example --token-env READ_TOKEN --json
    """
    from pipeline.cli.feed_client import FeedClient
    from pipeline.cli.feed_probe import probe as measure

    client = FeedClient(config, url, token_env)
    with client.connect(heartbeat_ms=100) as connection:
        found = measure(connection, seconds, rows)
    if as_json:
        print_json(found)
        return EXIT_OK
    offset = f"{found.offset_ms:+.3f} ms ± {found.offset_uncertainty_ms:.3f} ms"
    click.echo(f"Clock offset {offset} (the feed's minus ours)\n")
    headings = ("one way", "count", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms")
    print_table(headings, [_line("rows", found.rows), _line("heartbeats", found.heartbeats)])
    return EXIT_OK


def _line(name: str, found: Latencies) -> tuple[str, ...]:
    figures = (found.p50_ms, found.p95_ms, found.p99_ms, found.p99_9_ms, found.max_ms)
    return (name, str(found.count), *("–" if one is None else f"{one:.3f}" for one in figures))


def _show_json(message: dict[str, Any]) -> None:
    from pipeline.cli.output import print_json_line

    print_json_line(message)


def _show_row(message: dict[str, Any]) -> None:
    row = message["row"]
    fills = ", ".join(f"{fill['side']} {fill['quantity']} at {fill['price']}" for fill in row["fills"])
    click.echo(
        f"{message['seq']}  {row['accepted']}  {row['key']}:{row['key_seq']}  {row['outcome']}  "
        f"{fills or row['event']['type']}  {row['event_id']}"
    )


def _all_from(start: int, head: int) -> Manifest:
    from pipeline.stages.feed.manifest import Manifest

    return Manifest(session="none", opened_us=0, start=start, next=head + 1)


def _manifest(config: Config, name: str) -> Manifest:
    from pipeline.stages.feed.manifest import Manifests, manifest_folder, read_manifest

    if Path(name).is_file():
        return read_manifest(Path(name))
    found = Manifests(manifest_folder(config.data_dir)).find(name)
    if found is None:
        raise MissingError(f"--manifest {name}: is no file, and no session that the feed kept")
    return found


def _write(file: Path, manifest: Manifest) -> None:
    import msgspec

    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    except OSError as error:
        raise MissingError(f"--manifest {file}: {error.strerror}") from None
    with contextlib.suppress(OSError):
        click.echo(f"ringline: what was received is in {file}", err=True)
