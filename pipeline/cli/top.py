"""`ringline top`: the live page in a terminal."""

from __future__ import annotations

import sys
import time

import click

from pipeline.cli.output import print_json
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_MISSING, EXIT_OK


@click.command("top")
@click.option("--once", is_flag=True, help="Print one frame and end; so does an output that is no terminal.")
@click.option("--url", metavar="URL", help="Of another feed, such as http://127.0.0.1:8006.")
@click.option(
    "--token-env", metavar="NAME", help="Environment variable with the bearer token; else as configured."
)
@click.option(
    "--width", type=click.IntRange(20, 400), help="Columns to draw for; else those of the terminal."
)
@json_option
@with_config
def command(
    config: Config, once: bool, url: str | None, token_env: str | None, width: int | None, as_json: bool
) -> int:
    """Show workers, links, latencies, throttles, positions and events, live, until q or Ctrl-C.

    Exit code 3 when nothing answers, or when --once has no collector's word or one that is stale.

    \b
    Example:
      ringline top
      ringline top --once
      ringline top --url https://desk.example --token-env READ_TOKEN
    """
    from pipeline.cli.top_live import Source, run, screen_text

    source = Source(config, url, token_env)
    if as_json or once or not sys.stdout.isatty():
        view = source.one()
        if as_json:
            print_json(
                {
                    "age_ms": view.age_ms(time.monotonic()),
                    "frame": view.frame,
                    "book": view.book,
                    "steps": view.steps,
                    "points": list(view.points),
                    "rows": view.rows,
                }
            )
        else:
            click.echo(screen_text(view, width))
        return EXIT_MISSING if view.stale(time.monotonic()) else EXIT_OK
    return run(source, width)
