"""A manager that answers as it was told to. Public, for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.performance.manager import Call, Submission
from pipeline.performance.resources import Resources


class ScriptedManager:
    """Each trade takes the next of `submissions`, the last one for ever; `call` is what rounds time."""

    def __init__(
        self,
        submissions: Sequence[Submission],
        *,
        scopes: Sequence[dict[str, Any]] = (),
        trade_throttle: dict[str, Any] | None = None,
        resources: Resources | None = None,
        call: Callable[[], object] | None = None,
        on_submit: Callable[[], object] | None = None,
    ) -> None:
        self.name = "scripted"
        self.measures = "nothing"
        self.strategy_id = "baseline"
        self.symbol = "BASELINE"
        self.trade_throttle = trade_throttle
        self.due_ns: list[int] = []
        self._submissions = submissions
        self._scopes = list(scopes)
        self._resources = resources or Resources(note="scripted")
        self._call = call
        self._on_submit = on_submit

    def submit(self, due_ns: int) -> Submission:
        index = min(len(self.due_ns), len(self._submissions) - 1)
        self.due_ns.append(due_ns)
        if self._on_submit is not None:
            self._on_submit()
        return self._submissions[index]

    def get_trade_throttle_scope_snapshots(self) -> list[dict[str, Any]]:
        return self._scopes

    def resources(self) -> Resources:
        return self._resources

    def calls(self, count: int) -> Sequence[Call]:
        return [] if self._call is None else [self._call] * count
