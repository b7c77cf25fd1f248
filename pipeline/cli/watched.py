"""Runs a user's own code in a child process, which is ended when a call of it does not come back.

A strategy that hangs, crashes the interpreter or ignores Ctrl-C is a line for its author, and not a terminal
that stands still.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from pipeline import limits
from pipeline.cli.failure import explain_failure
from pipeline.errors import EXIT_NO
from pipeline.stages.call_watch import CallWatch, take_hang
from pipeline.trading.plugin import heed_interrupts, watch_calls

Begin = Callable[[], object]


def watched(work: Callable[[Begin], int]) -> int:
    """The exit code of `work` in a child. `work` gets what each process that it starts must call first."""
    folder = Path(tempfile.mkdtemp(prefix="ringline-calls-"))
    begin = partial(watch_this_process, folder)
    session = click.get_current_context().obj
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        child = os.fork()
        if not child:
            os._exit(_in_child(work, begin, folder, lambda error: explain_failure(error, session)))
        return _judged(_awaited(child), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def watch_this_process(folder: Path) -> None:
    """From now on."""
    watch_calls(CallWatch(folder, str(os.getpid()), limits.MAX_CALL_S))


def _in_child(
    work: Callable[[Begin], int], begin: Begin, folder: Path, explained: Callable[[BaseException], int]
) -> int:
    code = EXIT_NO
    try:
        heed_interrupts()
        begin()
        code = work(begin)
    except BaseException as error:
        if not _hung(folder):  # else a process of a sweep is gone, and the parent says why
            interrupted = isinstance(error, KeyboardInterrupt)
            code = 128 + signal.SIGINT if interrupted else explained(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _awaited(child: int) -> int:
    """Its wait status. Ctrl-C is the child's to follow; it has as long as a call may take."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return os.waitpid(child, 0)[1]
    finally:
        signal.signal(signal.SIGINT, before)


def _hung(folder: Path) -> list[str]:
    """A line for each process of the run that was ended in a call."""
    found = [take_hang(folder, file.stem) for file in sorted(folder.glob("*.hung"))]
    return [
        f"{hang.tag}: did not come back within {limits.MAX_CALL_S} s and was ended:\n{hang.traceback.strip()}"
        for hang in found
        if hang is not None
    ]


def _judged(status: int, folder: Path) -> int:
    code = os.waitstatus_to_exitcode(status)
    if lines := _hung(folder):
        click.echo("ringline: " + lines[0], err=True)
        return EXIT_NO
    if code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if code < 0:
        where = [text for file in folder.glob("*.call") if (text := file.read_bytes().partition(b"\0")[0])]
        inside = f" inside {where[0].decode('utf-8', 'replace')}" if where else ""
        click.echo(f"ringline: the run was ended by {signal.Signals(-code).name}{inside}", err=True)
        return EXIT_NO
    return code
