"""`ringline config`: check, show, schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from pipeline.cli.output import print_json
from pipeline.cli.session import Session, config_options, json_option, with_config
from pipeline.cli.toml import to_toml
from pipeline.config import Config, environment_name, json_schema
from pipeline.errors import EXIT_OK, ConfigError, UsageError


@click.group("config")
def command() -> None:
    """Check and show the configuration.

    Defaults, then the file, then RINGLINE_… variables, then --set: later wins.

    \b
    Example:
      ringline config show > ringline.toml
      ringline config check --config ringline.toml
    """


@command.command()
@json_option
@config_options
@click.pass_obj
def check(session: Session, config_file: Path | None, assignments: tuple[str, ...], as_json: bool) -> int:
    """Check the configuration; report every fault at once.

    Exit code 2 when there is one. Nothing of a custom strategy or model is run: that its file or entry point
    is there, can be compiled and names its class is checked, what it does when it is made is not.

    \b
    Example:
      ringline config check --config ringline.toml --set links.credit=512
    """
    try:
        config = session.load(config_file, assignments)
        if faults := list(_missing_plugins(config)):
            raise ConfigError(faults)
    except ConfigError as error:
        if not as_json:
            raise
        print_json({"ok": False, "faults": error.faults})
        return error.exit_code
    if as_json:
        print_json({"ok": True, "data_dir": config.data_dir, "faults": []})
    else:
        click.echo(f"The configuration is fine; its data folder is {config.data_dir}.")
    return EXIT_OK


def _missing_plugins(config: Config) -> Iterator[str]:
    from pipeline.trading.plugin import look_for
    from pipeline.trading.strategies.custom import GROUP as STRATEGIES
    from pipeline.valuation.custom import GROUP as MODELS

    sources: list[tuple[str, str, str]] = []
    for name, strategy in config.trading.strategies.items():
        if strategy.kind == "custom":
            sources.append((f"trading.strategies.{name}", strategy.source, STRATEGIES))
    for name, model in config.valuation.models.items():
        if model.kind == "custom":
            sources.append((f"valuation.models.{name}", model.source, MODELS))
    for path, source, group in sources:
        try:
            look_for(source, group)
        except ValueError as error:
            yield f"{path}: {error}"


@command.command()
@click.argument("key", required=False)
@json_option
@with_config
def show(config: Config, key: str | None, as_json: bool) -> None:
    """Show the configuration in force, or one KEY of it.

    The output is a configuration file: TOML, or JSON with --json.

    \b
    Example:
      ringline config show
      ringline config show journal.max_bytes
    """
    value = _find(msgspec.to_builtins(config), key)
    if as_json:
        print_json(value)
    elif isinstance(value, dict):
        click.echo(to_toml(value), nl=False)
    else:
        click.echo(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    if key is not None and not as_json and not isinstance(value, dict):
        click.echo(f"# in the environment: {environment_name(key)}", err=True)


@command.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file.

    \b
    Example:
      ringline config schema > ringline.schema.json
    """
    print_json(json_schema())


def _find(tree: Any, key: str | None) -> Any:
    node = tree
    for name in key.split(".") if key else ():
        if not isinstance(node, dict) or name not in node:
            known = f"; here are {', '.join(sorted(node))}" if isinstance(node, dict) else ""
            raise UsageError(f"{key}: no such key{known}")
        node = node[name]
    return node
