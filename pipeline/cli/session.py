"""What one command line carries along: its configuration and the words that chose it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # loading it takes 20 ms, which `--help` should not
    from pipeline.config import Config


class Session:
    """One call of the command line."""

    def __init__(self) -> None:
        self.data_dir: str | None = None
        """Where crash files go; None until the configuration is known."""
        self.words: tuple[str, ...] = ()
        """The options that choose this configuration, to be repeated in lines for people to paste."""

    def load(self, file: Path | None, assignments: tuple[str, ...]) -> Config:
        """The configuration in force; raises RinglineError with every fault."""
        from pipeline.config import load
        from pipeline.config.environment import unknown_names
        from pipeline.process import PARENT_PID

        config = load(file, os.environ, assignments)
        if PARENT_PID not in os.environ:  # a worker's parent has said so already
            for line in unknown_names(os.environ, config):
                click.echo(f"warning: {line}", err=True)
        self.data_dir = config.data_dir
        chosen = ("--config", str(file)) if file is not None else ()
        self.words = (*chosen, *(word for text in assignments for word in ("--set", text)))
        return config


def config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command `--config` and `--set`, as its arguments `config_file` and `assignments`."""
    for option in reversed(_CONFIG_OPTIONS):
        function = option(function)
    return function


def with_config(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Gives a command `--config` and `--set`, and the configuration as its argument `config`."""

    @config_options
    @click.pass_obj
    @functools.wraps(function)
    def wrapper(
        session: Session,
        /,
        *arguments: Any,
        config_file: Path | None,
        assignments: tuple[str, ...],
        **rest: Any,
    ) -> int | None:
        return function(*arguments, config=session.load(config_file, assignments), **rest)

    return wrapper


_CONFIG_OPTIONS = (
    click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        envvar="RINGLINE_CONFIG",
        help="Configuration file, TOML or JSON. Also RINGLINE_CONFIG.",
    ),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set one key, such as journal.retention_s=1200; beats RINGLINE_… and the file. Repeatable.",
    ),
)

feed_url_option = click.option("--url", metavar="URL", help="Of another feed, such as http://127.0.0.1:8006.")
feed_token_option = click.option(
    "--token-env", metavar="NAME", help="Environment variable with the bearer token; else as configured."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
