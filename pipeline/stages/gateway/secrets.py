"""Loads the secrets of each source from files and environment; makes one where none is configured.

Kubernetes mounts secrets as files and the environment holds the rest, so a configuration never has to
contain one. Nothing here is ever logged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from pipeline import limits
from pipeline.config.schema import Config, Source
from pipeline.errors import MissingError
from pipeline.signing import Secret, SharedKey, parse_secret, secret_text

GENERATED_BYTES = 32


class Keys(Struct, frozen=True):
    """What a source is known by: `secrets` of profile standard, `shared` of the others (of tradingview the
    path tokens), and the body `tokens` of tradingview."""

    secrets: tuple[Secret, ...] = ()
    shared: tuple[SharedKey, ...] = ()
    tokens: tuple[SharedKey, ...] = ()


def load_secrets(config: Config, environment: Mapping[str, str]) -> dict[str, Keys]:
    """The keys of every source by its name. Raises MissingError with a line for each one at fault."""
    data_dir = Path(config.data_dir)
    found: dict[str, Keys] = {}
    faults: list[str] = []
    for name, source in config.sources.items():
        try:
            found[name] = source_keys(name, source, data_dir, environment)
        except MissingError as error:
            faults.append(str(error))
    if faults:
        raise MissingError("\n".join(faults))
    return found


def source_keys(name: str, source: Source, data_dir: Path, environment: Mapping[str, str]) -> Keys:
    """The keys of one source, whatever its profile."""
    if source.profile == "standard":
        return Keys(secrets=source_secrets(name, source, data_dir, environment))
    texts = list(_texts(f"sources.{name}", source.secret_files, source.secret_env, environment))
    if not texts:
        file = generated_file(data_dir, name)
        _generate(name, file, os.urandom(GENERATED_BYTES).hex())
        texts = list(_texts(f"sources.{name}", (str(file),), (), environment))
    shared = tuple(_shared(*text) for text in texts)
    view = source.tradingview
    tokens = _texts(f"sources.{name}.tradingview", view.token_files, view.token_env, environment)
    return Keys(shared=shared, tokens=tuple(_shared(*text, limits.MIN_TOKEN_BYTES) for text in tokens))


def source_secrets(
    name: str, source: Source, data_dir: Path, environment: Mapping[str, str]
) -> tuple[Secret, ...]:
    """The secrets of one source of profile standard, the first of which senders of our own use."""
    if source.profile != "standard":
        raise MissingError(f"sources.{name}: profile {source.profile} has no Standard Webhooks secret")
    path = f"sources.{name}"
    texts = list(_texts(path, source.secret_files, source.secret_env, environment))
    if not texts:
        file = generated_file(data_dir, name)
        _generate(name, file, secret_text(os.urandom(GENERATED_BYTES)))
        texts = list(_texts(path, (str(file),), (), environment))
    return tuple(_parsed(text.decode("ascii", "replace"), origin, label) for text, origin, label in texts)


def generated_file(data_dir: Path, name: str) -> Path:
    """Where the secret of a source without a configured one is kept."""
    return data_dir / "secrets" / f"{name}.whsec"


_Text = tuple[bytes, str, str]
"""What was found, where (for messages), and the name it goes by."""


def _texts(
    path: str, files: Iterable[str], variables: Iterable[str], environment: Mapping[str, str]
) -> Iterator[_Text]:
    """What files and environment hold, without the white space around it."""
    for file in map(Path, files):
        origin = f"{path}: secret file {file}"
        try:
            with file.open("rb") as stream:
                data = stream.read(4 * limits.MAX_KEY_BYTES)
        except OSError as error:
            raise MissingError(f"{origin}: {error.strerror}") from None
        yield data.strip(), origin, file.name
    for variable in variables:
        origin = f"{path}: environment variable {variable}"
        if variable not in environment:
            raise MissingError(f"{origin}: not set")
        yield environment[variable].strip().encode(), origin, variable


def _shared(key: bytes, origin: str, label: str, least_bytes: int = limits.MIN_KEY_BYTES) -> SharedKey:
    try:
        return SharedKey(key, label, least_bytes)
    except ValueError as error:
        raise MissingError(f"{origin}: {error}") from None


def _parsed(text: str, origin: str, label: str) -> Secret:
    try:
        return parse_secret(text, label)
    except ValueError as error:
        raise MissingError(f"{origin}: {error}") from None


def _generate(name: str, file: Path, text: str) -> None:
    """Makes `file` with `text` on the first start. Two processes that start together agree on one."""
    if not file.exists():
        try:
            _create(file, text)
        except OSError as error:
            raise MissingError(f"sources.{name}: secret file {file}: {error.strerror}") from None


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
