"""The pipeline that a test starts for itself, through its command line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loadtests import children, limits
from loadtests.task import Task
from loadtests.web import fetch
from pipeline.errors import MissingError

POLL_S = 0.1
STOP_S = 60.0
"""Every stage has its own time to drain, one after the other."""


class PipelineChild:
    """`ringline up`, started and stopped."""

    def __init__(self, task: Task) -> None:
        self._log = Path(task.folder) / "pipeline.log"
        self._task = task
        self._child = children.start(
            (*task.ringline, "up", *task.up_words, "--config", task.config_file), self._log
        )

    def wait_ready(self, stopped: Callable[[], bool]) -> bool:
        """True once it takes events; False when the test is stopped before. Raises MissingError."""
        deadline = time.monotonic() + limits.START_S
        while not stopped():
            if (code := self._child.poll()) is not None:
                raise MissingError(
                    f"the pipeline did not start (exit code {code}): {children.tail(self._log)}"
                )
            if time.monotonic() > deadline:
                raise MissingError(f"the pipeline was not ready within {limits.START_S:g} s; see {self._log}")
            with contextlib.suppress(MissingError):
                if fetch(f"{self._task.gateway_url}/readyz").status == 200 and self._collector_answers():
                    return True
            time.sleep(POLL_S)
        return False

    def _collector_answers(self) -> bool:
        return fetch(f"{self._task.collector_url}/v1/snapshot").status == 200

    def gone(self) -> str:
        """How it ended, if it did; empty while it runs."""
        code = self._child.poll()
        return "" if code is None else f"the pipeline ended with exit code {code}: {children.tail(self._log)}"

    def stop(self) -> None:
        children.stop(self._child, STOP_S)


def ringline_json(task: Task, words: Sequence[str], timeout_s: float = 60.0) -> Any:
    """What a command of the product prints as JSON; None when it says something else or fails."""
    done = command(task, words, timeout_s)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None


def command(task: Task, words: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """Runs a command of the product to its end; raises MissingError when it takes too long."""
    chosen = ("--config", task.config_file) if task.config_file else ()
    try:
        return subprocess.run(
            (*task.ringline, *words, *chosen), capture_output=True, timeout=timeout_s, check=False,
            start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise MissingError(f"ringline {' '.join(words)}: took more than {timeout_s:g} s") from None
    except OSError as error:
        raise MissingError(f"ringline {' '.join(words)}: {error.strerror}") from None
