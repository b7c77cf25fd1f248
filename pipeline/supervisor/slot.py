"""A worker's place: the process in it now, and the story of those before."""

from __future__ import annotations

from pipeline.supervisor.budget import RestartBudget
from pipeline.supervisor.child import Child
from pipeline.supervisor.roster import Worker


class Slot:
    """One worker of the roster, or one that was added while the pipeline ran."""

    __slots__ = ("added", "budget", "child", "ever_ready", "leave_by_ns", "restarts", "resume_ns", "worker")

    def __init__(self, worker: Worker, budget: RestartBudget, *, added: bool = False) -> None:
        self.worker = worker
        self.budget = budget
        self.added = added
        """While the pipeline ran: the others can do without it, should it never start."""
        self.child: Child | None = None
        self.resume_ns: int | None = None
        """When to start it again, on the monotonic clock; None: not waiting for that."""
        self.leave_by_ns: int | None = None
        """It was told to go, and is killed then; None: it stays."""
        self.restarts = 0
        self.ever_ready = False

    @property
    def ready(self) -> bool:
        return self.child is not None and self.child.ready

    @property
    def leaving(self) -> bool:
        return self.leave_by_ns is not None
