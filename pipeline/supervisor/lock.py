"""One running pipeline a data folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import MissingError

_LOOK_AGAIN_S = 0.05


class DataLock:
    """An exclusive lock on a data folder, held by the supervisor and, through `fd`, by its workers.

    Workers inherit the descriptor, so after the supervisor's sudden death the folder stays locked until
    the last of them has left: a new pipeline never meets the old one's ports and files.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def take(cls, folder: Path, *, wait_s: float, report: Callable[[str], None]) -> DataLock:
        """Locks `folder`/lock. When the pipeline that had it has died, waits `wait_s` for its workers.

        Raises MissingError when a pipeline runs there, naming its pid.
        """
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _lock(fd):
                _refuse_if_alive(fd, folder)
                report(f"data_dir {folder.parent}: waiting for the workers of a pipeline that died to leave")
                _wait(fd, folder, wait_s)
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def release(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(fd: int, folder: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not _lock(fd):
        _refuse_if_alive(fd, folder)  # it may have been in the middle of its start
        if time.monotonic() > deadline:
            raise MissingError(
                f"data_dir {folder.parent}: workers of a dead pipeline still hold it after {wait_s:g} s; "
                f"`fuser {folder / 'lock'}` names them"
            )
        time.sleep(_LOOK_AGAIN_S)


def _refuse_if_alive(fd: int, folder: Path) -> None:
    holder = _holder(fd)
    if _alive(holder):
        raise MissingError(
            f"data_dir {folder.parent}: in use by the pipeline with pid {holder}; "
            "stop it, or choose another with --set data_dir=DIR"
        )


def _holder(fd: int) -> int:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
