"""Runs a user's own code in a child process, which is ended when a call of it does not come back.

A strategy that hangs, crashes the interpreter, leaves it or ignores Ctrl-C is a line for its author, and not
a terminal that stands still. What it prints goes to stderr: stdout is the report's. The child and the
processes of a sweep end with this one, however that ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager
from functools import partial
from io import FileIO, TextIOWrapper
from pathlib import Path

import click

from pipeline import limits
from pipeline.cli.call_folder import CallFolder
from pipeline.cli.failure import explain_failure
from pipeline.cli.waiting import ENDING, Mask, wait_for
from pipeline.errors import EXIT_NO
from pipeline.process import end_with
from pipeline.stages.call_watch import CallWatch
from pipeline.trading.plugin import heed_interrupts, watch_calls

Begin = Callable[[], object]
Output = Callable[[], AbstractContextManager[object]]

EXIT_CLOSED = 128 + signal.SIGPIPE


def watched(work: Callable[[Begin, Output], int]) -> int:
    """The exit code of `work` in a child. `work` gets what each process that it starts must call first, and
    within what it may write to stdout."""
    session = click.get_current_context().obj
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *ENDING))
    try:
        with CallFolder() as folder:
            child = os.fork()
            if not child:
                os._exit(_in_child(work, folder.path, lambda error: explain_failure(error, session), before))
            ended = wait_for(child, before)
            if ended.by is not None:
                _say(f"ended by {ended.by.name}")
                return 128 + ended.by
            return _judged(ended.status, folder)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def watch_this_process(folder: Path, parent: int) -> None:
    """From now on; it ends with its parent, which is `parent` or the one that spawned it."""
    spawned_by = multiprocessing.parent_process()
    end_with(parent if spawned_by is None else spawned_by.pid or parent, signal.SIGKILL)
    watch_calls(CallWatch(folder, str(os.getpid()), limits.MAX_CALL_S))


def _in_child(
    work: Callable[[Begin, Output], int],
    folder: Path,
    explained: Callable[[BaseException], int],
    mask: Mask,
) -> int:
    """Its exit code, which is also left in `folder`: whoever leaves in another way has not left one."""
    code = EXIT_NO
    begin = partial(watch_this_process, folder, os.getppid())
    calls = CallFolder.of(folder)
    try:
        heed_interrupts()
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        begin()
        code = work(begin, _aside())
    except BaseException as error:
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
            code = EXIT_CLOSED
        elif isinstance(error, KeyboardInterrupt):
            code = 128 + signal.SIGINT
        elif isinstance(error, BrokenExecutor) and not calls.hangs():
            _say(f"a process of the sweep ended{calls.inside()}")
        elif not calls.hangs():  # else a process of a sweep is gone, and the parent says why
            code = explained(error)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # a user's code may have closed or replaced them
                stream.flush()
        calls.leave_code(code)
    return code


def _aside() -> Output:
    """From now on what is written to stdout goes to stderr, except within what this returns."""
    try:
        real = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of them is closed
        return contextlib.nullcontext
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    sys.stdout = TextIOWrapper(
        FileIO(1, "w", closefd=False), encoding=encoding, errors=errors, write_through=True
    )

    @contextlib.contextmanager
    def output() -> Iterator[None]:
        aside = sys.stdout
        with open(real, "w", encoding=encoding, errors=errors, closefd=False) as stream:
            sys.stdout = stream
            try:
                yield
            finally:
                sys.stdout = aside

    return output


def _judged(status: int, folder: CallFolder) -> int:
    code = os.waitstatus_to_exitcode(status)
    if hangs := folder.hangs():
        _say(hangs[0])
        return EXIT_NO
    if code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if code < 0:
        _say(f"the run was ended by {_name(-code)}{folder.inside()}")
        return EXIT_NO
    if folder.code() != code:
        _say(f"the run left with exit code {code} before its end{folder.inside()}")
        return EXIT_NO
    return code


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be what is gone
        click.echo(f"ringline: {text}", err=True)
