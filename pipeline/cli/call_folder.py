"""Where a watched run keeps what its processes call: a temporary folder that goes with the run.

It is locked as long as a process of the run lives. What a run left behind that was killed itself goes with
the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType

from pipeline import limits
from pipeline.stages.call_watch import called, take_hang

PREFIX = "ringline-calls-"


class CallFolder:
    """A context manager: leaving it removes the folder."""

    def __init__(self) -> None:
        _forget_the_dead(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = _locked(self.path)

    @classmethod
    def of(cls, path: Path) -> CallFolder:
        """One that somebody else made and will remove."""
        found = cls.__new__(cls)
        found.path, found._lock = path, None
        return found

    def __enter__(self) -> CallFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)

    def hangs(self) -> list[str]:
        """A line for each process of the run that was ended in a call. Told once."""
        found = [take_hang(self.path, file.stem) for file in sorted(self.path.glob("*.hung"))]
        return [
            f"{hang.tag}: did not come back within {hang.limit_s:g} s and was ended:\n"
            + hang.traceback.strip()
            for hang in found
            if hang is not None
        ]

    def inside(self) -> str:
        """` inside …`, what a process of the run is or was calling; "" for nothing."""
        tags = (called(self.path, file.stem) for file in sorted(self.path.glob("*.call")))
        return next((f" inside {tag}" for tag in tags if tag), "")

    def leave_code(self, code: int) -> None:
        """The child comes to its end, with this exit code."""
        with contextlib.suppress(OSError):
            (self.path / "code").write_text(str(code))

    def code(self) -> int | None:
        """The exit code that the child left; None when it did not come to its end."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.path / "code").read_text())
        return None


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock, also for children; None when another has it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def _forget_the_dead(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's
            if time.time() - folder.stat().st_mtime < limits.CALL_FOLDER_GRACE_S:
                continue  # it may be made just now, and not yet locked
            if (lock := _locked(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
