"""When the audit was restored from a backup: stops the keys that it lacks rows of, and on request sends their
settled events again, as far as the journal still has them.

The request is a file in `data_dir/run/reconcile`: who may write there may run this pipeline anyway.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.clock import Clock
from pipeline.errors import RinglineError
from pipeline.stages.gateway.health import Health
from pipeline.storage.atomic import replace_file
from pipeline.storage.journal import Journal
from pipeline.storage.journal.kept import Kept, Range
from pipeline.transport.audit_check import AuditCheck
from pipeline.transport.stopping import StoppingDispatcher

log = logging.getLogger(__name__)

LOOK_S = 0.02
ATTEMPTS = 5
PROGRESS_S = 60
"""A key of which nothing settles for so long is left stopped."""


class KeyAnswer(Struct, frozen=True, kw_only=True):
    """One key: the audit had rows up to key_seq `audit`, `journal` was settled by the journal. `gone` are the
    ranges of key_seqs that are not kept any more; then nothing was sent again and the key stays stopped."""

    audit: int
    journal: int
    resent: int = 0
    gone: tuple[Range, ...] = ()
    fault: str = ""


class ReconcileAnswer(Struct, frozen=True, kw_only=True):
    """What a request came to; `done` is False while it goes on."""

    request: str
    done: bool
    checked: int = 0
    """Keys that the audit was asked about."""
    keys: dict[str, KeyAnswer] = {}
    fault: str = ""

    @property
    def ok(self) -> bool:
        """The audit has everything again."""
        return self.done and not self.fault and not any(one.gone or one.fault for one in self.keys.values())


class Mailbox:
    """Where a request is put and its answer found."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "run" / "reconcile"
        self._request = self._folder / "request"

    def ask(self, request: str) -> None:
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.glob("*.json"):
            old.unlink(missing_ok=True)
        replace_file(self._request, request.encode(), 0o600)

    def requested(self) -> str:
        """The request that waits; empty: none does."""
        try:
            return self._request.read_text()[:64]
        except (OSError, UnicodeDecodeError):
            return ""

    def answer(self, answer: ReconcileAnswer) -> None:
        """Raises OSError."""
        replace_file(self._folder / f"{answer.request}.json", msgspec.json.encode(answer), 0o600)
        if answer.done:
            self._request.unlink(missing_ok=True)

    def answered(self, request: str) -> ReconcileAnswer | None:
        try:
            return msgspec.json.decode((self._folder / f"{request}.json").read_bytes(), type=ReconcileAnswer)
        except (OSError, msgspec.DecodeError):
            return None

    def withdraw(self) -> None:
        """Nobody waits for it any more."""
        self._request.unlink(missing_ok=True)


class Reconciler:
    """Belongs to the gateway's event loop. `turn` has the links send what may go."""

    def __init__(
        self,
        journal: Journal,
        dispatcher: StoppingDispatcher,
        clock: Clock,
        mailbox: Mailbox,
        turn: Callable[[], None],
        health: Callable[[], Health],
    ) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._clock = clock
        self._mailbox = mailbox
        self._turn = turn
        self._health = health
        self._behind: dict[str, Range] = {}
        """Stopped keys: the audit's last row, the journal's last settled event."""
        self._again_behind: dict[str, int] = {}
        """Keys that were found to be behind while they were stopped already."""
        self._running: asyncio.Task[None] | None = None
        self.check = AuditCheck(journal.settled_keys, lambda key: journal.last(key)[1], self._on_behind)

    def look(self) -> None:
        """Call it a few times a second: begins with a request that waits."""
        if self._running is not None and self._running.done():
            self._running = None
        if self._running is None and (request := self._mailbox.requested()):
            self._running = asyncio.create_task(self._reconcile(request))

    def close(self) -> None:
        if self._running is not None:
            self._running.cancel()

    # ---- the alarm

    def _on_behind(self, key: str, last: int) -> None:
        mark = self._journal.last(key)[1]
        if key not in self._behind:
            self._dispatcher.stop(key, mark)
            self._journal.stopped(key, stopped=True)
            if len(self._behind) < limits.MAX_NAMED_KEYS:
                log.error(
                    "%s is stopped: the audit has its events up to %d, and %d were settled: was it restored "
                    "from a backup? `ringline audit reconcile` sends it what it lacks", key, last, mark,
                )  # fmt: skip
            elif len(self._behind) == limits.MAX_NAMED_KEYS:
                log.error("more keys are stopped, for the same reason: see `ringline status`")
        else:
            self._again_behind[key] = last
        self._behind[key] = (last, mark)
        self._health().stopped[key] = f"key {key}: the audit lacks its events {last + 1} to {mark}"

    def _release(self, key: str) -> None:
        self._dispatcher.release(key)
        self._journal.stopped(key, stopped=False)
        del self._behind[key]
        self._health().stopped.pop(key, None)

    # ---- the repair

    async def _reconcile(self, request: str) -> None:
        answer = ReconcileAnswer(request=request, done=True, fault="it was interrupted; ask again")
        try:
            answer = await self._repaired(request)
        except (RinglineError, OSError) as error:
            answer = ReconcileAnswer(request=request, done=True, fault=str(error))
        except Exception as error:
            log.exception("reconcile failed")
            answer = ReconcileAnswer(request=request, done=True, fault=f"{type(error).__name__}: {error}")
        finally:
            self._journal.let_go()
            self._tell(answer)

    async def _repaired(self, request: str) -> ReconcileAnswer:
        before = self.check.answered
        self.check.check_all()
        while self.check.busy:
            self._tell(ReconcileAnswer(request=request, done=False, checked=self.check.answered - before))
            await asyncio.sleep(LOOK_S)
        checked = self.check.answered - before
        behind = dict(self._behind)
        kept = self._journal.kept({key: (last + 1, mark) for key, (last, mark) in behind.items()})
        await asyncio.to_thread(kept.search)
        turns = asyncio.Semaphore(limits.RECONCILE_EVENTS // limits.RECONCILE_KEY_EVENTS)
        done = await asyncio.gather(*(self._again(key, behind[key], kept, turns) for key in behind))
        found = dict(zip(behind, done, strict=True))
        log.warning(
            "reconciled: %d events of %d keys were sent again, %d keys stay stopped",
            sum(one.resent for one in done), len(done), len(self._behind),
        )  # fmt: skip
        return ReconcileAnswer(request=request, done=True, checked=checked, keys=found)

    async def _again(self, key: str, lacking: Range, kept: Kept, turns: asyncio.Semaphore) -> KeyAnswer:
        last, mark = lacking
        lacks: int | None = last
        answer = KeyAnswer(audit=last, journal=mark)
        if gone := kept.missing(key):
            return msgspec.structs.replace(answer, gone=tuple(gone))
        async with turns:
            for _ in range(ATTEMPTS):
                if not await self._sent(key, last + 1, mark, kept):
                    return msgspec.structs.replace(answer, fault="nothing more of it settles")
                lacks = await self._lacks(key)
                if lacks is None:
                    self._release(key)
                    self._turn()
                    return msgspec.structs.replace(answer, resent=mark - lacking[0])
                if lacks < lacking[0]:
                    break
                last = lacks
        return msgspec.structs.replace(answer, fault=f"the audit has its events up to {lacks} only")

    async def _sent(self, key: str, following: int, mark: int, kept: Kept) -> bool:
        """Sends from key_seq `following` on; whether all of it was answered as settled."""
        while following <= mark:
            some = await asyncio.to_thread(kept.read, key, following, limits.RECONCILE_KEY_EVENTS)
            self._dispatcher.resend(key, some, self._clock.monotonic_ns())
            following += len(some)
            self._turn()
            if not await self._settled(key):
                return False
        return True

    async def _lacks(self, key: str) -> int | None:
        """Up to where the audit has the key, if that is not all; an answer of the audit that was there before
        the restore may have been on its way still, and passed for one of this audit."""
        self._again_behind.pop(key, None)
        self.check.suspect(key)
        while self.check.busy:  # noqa: ASYNC110 - frames end it, not somebody who could set an event
            await asyncio.sleep(LOOK_S)
        return self._again_behind.pop(key, None)

    async def _settled(self, key: str) -> bool:
        """Waits until all that was sent again is audited; False when nothing moves any more."""
        loop = asyncio.get_running_loop()
        left, deadline_s = self._dispatcher.resending(key), loop.time() + PROGRESS_S
        while left:
            await asyncio.sleep(LOOK_S)
            now = self._dispatcher.resending(key)
            if now < left:
                left, deadline_s = now, loop.time() + PROGRESS_S
            elif loop.time() > deadline_s:
                return False
        return True

    def _tell(self, answer: ReconcileAnswer) -> None:
        try:
            self._mailbox.answer(answer)
        except OSError as error:
            log.warning("reconcile: its answer cannot be written: %s", error)
