"""`ringline keys`: makes and rotates the keys of the links."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline import limits
from pipeline.cli.output import print_json
from pipeline.cli.session import json_option
from pipeline.errors import EXIT_OK, MissingError, UsageError


@click.group("keys")
def command() -> None:
    """Make and rotate the keys of the links between workers.

    \b
    Example:
      ringline keys links links.key
    """


@command.command("links")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--rotate",
    type=click.Choice(("add", "use", "retire")),
    help="add: a new key, accepted but not used yet; use: the last key comes first; retire: only the first "
    "stays. Restart every worker with the new file after each step.",
)
@click.option("--show", is_flag=True, help="Only print the fingerprints of the keys in FILE.")
@json_option
def links(file: Path, rotate: str | None, show: bool, as_json: bool) -> int:
    """Make the key FILE that all workers of an installation share, or rotate the keys in it.

    Name it to every worker by links.key_file. Who holds the file may speak on the links and read them, nobody
    else; only fingerprints are printed, the first is of the key in use.

    \b
    Example:
      ringline keys links /etc/ringline/links.key
      ringline up --set links.key_file=/etc/ringline/links.key
      ringline keys links /etc/ringline/links.key --rotate add
    """
    from pipeline.transport.curve import LinkKey, new_secret, read_key_file

    if show and rotate:
        raise UsageError("--show: not with --rotate")
    if not show and not rotate:
        if file.exists():
            raise UsageError(f"{file}: is there already; --rotate changes it, --show prints its fingerprints")
        keys = [new_secret()]
    else:
        keys = read_key_file(file)
    if rotate == "add" and len(keys) >= limits.MAX_LINK_KEYS:
        raise UsageError(f"{file}: holds {len(keys)} keys, the limit; --rotate retire drops the old ones")
    if rotate == "use" and len(keys) < 2:
        raise UsageError(f"{file}: holds one key; --rotate add comes first")
    if rotate:
        keys = {"add": [*keys, new_secret()], "use": [keys[-1], *keys[:-1]], "retire": keys[:1]}[rotate]
    if not show:
        _write(file, keys)
    fingerprints = [LinkKey.of(key).fingerprint for key in keys]
    if as_json:
        print_json({"file": str(file), "fingerprints": fingerprints})
    else:
        for place, fingerprint in enumerate(fingerprints):
            click.echo(f"{fingerprint}  {'accepted' if place else 'in use'}")
    return EXIT_OK


def _write(file: Path, keys: list[bytes]) -> None:
    from pipeline.storage.atomic import replace_file

    text = b"# Keys of Ringline's links: the first is used, all are accepted. Secret.\n"
    try:
        replace_file(file, text + b"\n".join(keys) + b"\n", 0o600)
    except OSError as error:
        raise MissingError(f"{file}: {error.strerror}") from None
