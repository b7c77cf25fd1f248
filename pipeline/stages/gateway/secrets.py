"""Loads the secrets of each source from files and environment; makes one where none is configured.

Kubernetes mounts secrets as files and the environment holds the rest, so a configuration never has to
contain one. Nothing here is ever logged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline import limits
from pipeline.config.schema import Config, Source
from pipeline.errors import MissingError
from pipeline.signing import Secret, parse_secret, secret_text

GENERATED_BYTES = 32


def load_secrets(config: Config, environment: Mapping[str, str]) -> dict[str, tuple[Secret, ...]]:
    """The secrets of every source by its name. Raises MissingError with a line for each one at fault."""
    data_dir = Path(config.data_dir)
    found: dict[str, tuple[Secret, ...]] = {}
    faults: list[str] = []
    for name, source in config.sources.items():
        try:
            found[name] = source_secrets(name, source, data_dir, environment)
        except MissingError as error:
            faults.append(str(error))
    if faults:
        raise MissingError("\n".join(faults))
    return found


def source_secrets(
    name: str, source: Source, data_dir: Path, environment: Mapping[str, str]
) -> tuple[Secret, ...]:
    """The secrets of one source, the first of which senders of our own use."""
    secrets = [_from_file(name, Path(file)) for file in source.secret_files]
    secrets += [_from_environment(name, variable, environment) for variable in source.secret_env]
    if not secrets:
        secrets.append(_generated(name, generated_file(data_dir, name)))
    return tuple(secrets)


def generated_file(data_dir: Path, name: str) -> Path:
    """Where the secret of a source without a configured one is kept."""
    return data_dir / "secrets" / f"{name}.whsec"


def _from_file(name: str, file: Path) -> Secret:
    try:
        with file.open("rb") as stream:
            data = stream.read(4 * limits.MAX_SECRET_BYTES)
    except OSError as error:
        raise MissingError(f"sources.{name}: secret file {file}: {error.strerror}") from None
    return _parsed(data.decode("ascii", "replace"), f"sources.{name}: secret file {file}", file.name)


def _from_environment(name: str, variable: str, environment: Mapping[str, str]) -> Secret:
    if variable not in environment:
        raise MissingError(f"sources.{name}: environment variable {variable}: not set")
    return _parsed(environment[variable], f"sources.{name}: environment variable {variable}", variable)


def _parsed(text: str, origin: str, label: str) -> Secret:
    try:
        return parse_secret(text, label)
    except ValueError as error:
        raise MissingError(f"{origin}: {error}") from None


def _generated(name: str, file: Path) -> Secret:
    """The secret in `file`, made on the first start. Two processes that start together agree on one."""
    if not file.exists():
        try:
            _create(file, secret_text(os.urandom(GENERATED_BYTES)))
        except OSError as error:
            raise MissingError(f"sources.{name}: secret file {file}: {error.strerror}") from None
    return _from_file(name, file)


def _create(file: Path, text: str) -> None:
    """Writes `file` whole or not at all, for its owner only; leaves one that is already there."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
