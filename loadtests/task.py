"""What a test is asked to do, as a file: `ringline loadtest` writes it, every process of the test reads it.

It holds no secret, only where to find it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from loadtests.shapes import Shape, shaped
from pipeline.errors import MissingError, UsageError
from pipeline.signing import Secret, parse_secret


class Task(Struct, frozen=True, kw_only=True):
    """One test.

    `start`: this test starts the pipeline, by `ringline` (the words of its command line) with
    `config_file`, and stops it. `data_dir` is where its audit can be read from here, "" when it cannot.
    `rate`: the open variant's highest rate; None: users that wait for their answers.
    """

    shape: str
    folder: str
    """Where everything of this test is written."""
    run: str
    """Eight hexadecimal digits, different in every test."""
    gateway_url: str
    collector_url: str = ""
    audit_url: str = ""
    """The audit's HTTP: queries and the feed; "" when there is none."""
    source: str = "demo"
    secret_file: str = ""
    secret_env: str = ""
    ringline: tuple[str, ...] = ()
    config_file: str = ""
    data_dir: str = ""
    start: bool = False
    up_words: tuple[str, ...] = ()
    """Further words of the command line that starts the pipeline, such as --autoscale."""
    keep_data: bool = True
    """Whether the data folder of a pipeline that the test started stays also when every gate is met."""
    generators: int = 1
    time_scale: float = 1.0
    rate: float | None = None
    gates_file: str = ""
    token_file: str = ""
    token_env: str = ""
    """Where the bearer token is that may read the audit's HTTP; neither: it asks for none."""


def read_task(file: Path) -> Task:
    """Raises UsageError for a file that is no task."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Task)
    except OSError as error:
        raise MissingError(f"task {file}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"task {file}: {error}") from None


def token_of(task: Task, environment: Mapping[str, str] = os.environ) -> str:
    """The token of who reads the audit's HTTP; empty where none is asked for. Raises MissingError."""
    if not task.token_file:
        return environment.get(task.token_env, "")
    try:
        return Path(task.token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingError(f"token {task.token_file}: {error}") from None


def shape_of(task: Task) -> Shape:
    return shaped(task.shape, time_scale=task.time_scale, peak_per_s=task.rate)


def secret_of(secret_file: str, secret_env: str, environment: Mapping[str, str] = os.environ) -> Secret:
    """What events are signed with. Raises MissingError naming the place, never the text."""
    try:
        if secret_file:
            return parse_secret(Path(secret_file).read_text(encoding="ascii", errors="replace"), secret_file)
        if secret_env not in environment:
            raise MissingError(f"secret: the environment has no {secret_env or 'variable with it'}")
        return parse_secret(environment[secret_env], secret_env)
    except OSError as error:
        raise MissingError(f"secret {secret_file}: {error.strerror}") from None
    except ValueError as error:
        raise MissingError(f"secret {secret_file or secret_env}: {error}") from None
