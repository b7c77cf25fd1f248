"""How a failure looks to a person: clear lines on stderr, and never a traceback."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path

import click

import pipeline
from pipeline.cli.session import Session
from pipeline.errors import EXIT_NO, RinglineError


def explain_failure(error: BaseException, session: Session) -> int:
    """Prints what went wrong, a line for each fault; returns the exit code."""
    if isinstance(error, RinglineError):
        _say(str(error))
        return error.exit_code
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "ringline"
        _say(f"{_lowered(error.format_message())} (see `{where} --help`)")
        return error.exit_code
    if isinstance(error, click.ClickException):
        _say(error.format_message())
        return error.exit_code
    return _crashed(error, session)


def _crashed(error: BaseException, session: Session) -> int:
    """A bug of ours: one line, and the traceback in a file."""
    summary = traceback.format_exception_only(error)[-1].strip()
    try:
        where = f"the traceback is in {_write_crash(error, session)}"
    except OSError as fault:
        where = f"and the traceback cannot be written: {fault}"
    _say(f"unexpected {summary}; {where}")
    return EXIT_NO


def _write_crash(error: BaseException, session: Session) -> Path:
    folder = Path(tempfile.gettempdir())
    if session.data_dir is not None and os.access(session.data_dir, os.W_OK):
        folder = Path(session.data_dir) / "crash"
        folder.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    file = folder / f"ringline-crash-{stamp}-{os.getpid()}.txt"
    head = (
        f"ringline {pipeline.__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{' '.join(sys.argv)}\n\n"
    )
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "w", encoding="utf-8", errors="replace") as stream:
        stream.write(head + "".join(traceback.format_exception(error)))
    return file


def _say(text: str) -> None:
    for line in text.splitlines() or [""]:
        click.echo(f"ringline: {line}", err=True)


def _lowered(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".")
