"""A shape's table as Locust's own kind of shape, and the accounting of what was planned."""

from __future__ import annotations

import os
import time
from pathlib import Path

from locust import LoadTestShape

from loadtests.generator import Generator
from loadtests.names import AUDIT_VARIABLE, SHAPE_VARIABLE, TASK_VARIABLE, TOKEN_VARIABLE
from loadtests.shapes import Shape, shaped, users_at
from loadtests.task import read_task, shape_of, token_of


def chosen_audit() -> tuple[str, str]:
    """The audit's HTTP and the token to read it with; empty: there is none."""
    if file := os.environ.get(TASK_VARIABLE):
        task = read_task(Path(file))
        return task.audit_url, token_of(task)
    return os.environ.get(AUDIT_VARIABLE, "").rstrip("/"), os.environ.get(TOKEN_VARIABLE, "")


def chosen_shape() -> Shape | None:
    """The shape that the environment names: of a task, or by its name; None: the web page decides."""
    if file := os.environ.get(TASK_VARIABLE):
        return shape_of(read_task(Path(file)))
    if name := os.environ.get(SHAPE_VARIABLE):
        return shaped(name)
    return None


class TableShape(LoadTestShape):
    """Asks for the users of the table, about once a second; `beside` users read and send nothing."""

    abstract = True
    beside = 0

    def __init__(self) -> None:
        super().__init__()
        self.shape = chosen_shape() or shaped("smoke")
        self.started_s = 0.0
        self._users = 0
        self._last_s = 0.0
        self._ended = False

    def end(self) -> None:
        """Before its time: the next tick is the last, and all ends as it does after the whole test."""
        self._ended = True

    def tick(self) -> tuple[int, float] | None:
        """Books what was planned since the last tick, by the users asked for then."""
        now_s = time.time()
        if not self.started_s:
            self.started_s = self._last_s = now_s
            self.reset_time()
        users = None if self._ended else users_at(self.shape, self.get_run_time())
        environment = self.runner.environment if self.runner is not None else None
        generator: Generator | None = getattr(environment, "generator", None)
        if generator is not None:
            planned = self._users * self.shape.per_user_s * (now_s - self._last_s)
            generator.tally.book(int((self._last_s + now_s) / 2), planned, self._users)
        self._users, self._last_s = users or 0, now_s
        return None if users is None else (users + self.beside, max(users + self.beside, 100))
