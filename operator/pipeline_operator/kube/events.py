"""Events (events.k8s.io/v1): what a person sees in `kubectl describe`. Said again, they are counted."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Any

from pipeline.clock import NS_PER_S, Clock
from pipeline_operator import limits
from pipeline_operator.kube import paths
from pipeline_operator.kube.client import FIELD_MANAGER, Api
from pipeline_operator.kube.errors import ApiAwayError, ApiError
from pipeline_operator.kube.times import micro_text_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """A Pipeline that Events are about."""

    namespace: str
    name: str
    uid: str


@dataclass
class _Said:
    event: str
    at_ns: int
    count: int = 1


class _Budget:
    """EVENT_BURST at once, one more each EVENT_REFILL_S."""

    def __init__(self, now_ns: int) -> None:
        self._left = float(limits.EVENT_BURST)
        self._at_ns = now_ns

    def take(self, now_ns: int) -> bool:
        gained = (now_ns - self._at_ns) / (limits.EVENT_REFILL_S * NS_PER_S)
        self._left = min(float(limits.EVENT_BURST), self._left + gained)
        self._at_ns = now_ns
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Events:
    """Posts; never raises: an Event that is lost is in the decision record and in the status all the same."""

    def __init__(self, api: Api, instance: str, clock: Clock) -> None:
        self._api = api
        self._instance = instance
        self._clock = clock
        self._budgets: dict[str, _Budget] = {}
        self._said: dict[tuple[str, str, str], _Said] = {}
        self.dropped = 0
        """Not posted, for lack of budget or because the API server would not."""

    async def say(self, subject: Subject, reason: str, note: str, *, warning: bool = False) -> None:
        """`reason` is one CamelCase word, `note` a sentence."""
        now_ns = self._clock.monotonic_ns()
        note = note[: limits.MAX_EVENT_NOTE_CHARS]
        key = (subject.uid, reason, note)
        before = self._said.get(key)
        if not self._budgets.setdefault(subject.uid, _Budget(now_ns)).take(now_ns):
            self.dropped += 1
            return
        try:
            async with self._api.patient():
                if before is not None and now_ns - before.at_ns < limits.EVENT_SERIES_S * NS_PER_S:
                    await self._count(subject, before, now_ns)
                else:
                    event = self._event(subject, reason, note, warning)
                    created = await self._api.create(paths.events(subject.namespace), event)
                    self._said[key] = _Said(created["metadata"]["name"], now_ns)
        except (ApiError, ApiAwayError) as error:
            self.dropped += 1
            self._said.pop(key, None)
            logger.info(
                "Event %s of %s/%s was not posted: %s", reason, subject.namespace, subject.name, error
            )

    def forget(self, uid: str) -> None:
        """The Pipeline is gone."""
        self._budgets.pop(uid, None)
        self._said = {key: said for key, said in self._said.items() if key[0] != uid}

    async def _count(self, subject: Subject, said: _Said, now_ns: int) -> None:
        said.count += 1
        series = {"count": said.count, "lastObservedTime": micro_text_of(self._clock.wall_us())}
        await self._api.merge(paths.events(subject.namespace, said.event), {"series": series})
        said.at_ns = now_ns

    def _event(self, subject: Subject, reason: str, note: str, warning: bool) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{subject.name[:200]}.{secrets.token_hex(8)}",
                "namespace": subject.namespace,
            },
            "eventTime": micro_text_of(self._clock.wall_us()),
            "reportingController": FIELD_MANAGER,
            "reportingInstance": self._instance[:128],
            "action": "Scale",
            "reason": reason,
            "note": note,
            "type": "Warning" if warning else "Normal",
            "regarding": {
                "apiVersion": paths.API_VERSION,
                "kind": "Pipeline",
                "namespace": subject.namespace,
                "name": subject.name,
                "uid": subject.uid,
            },
        }
