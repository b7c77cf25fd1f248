"""The gateway on a simulated disk: the product's journal and desk, syncs that take time and may fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from random import Random

from pipeline.clock import NS_PER_MS, Clock
from pipeline.delivery import Delivery
from pipeline.errors import RinglineError
from pipeline.messages import Action, Control, Event, Fate, encode
from pipeline.simulation.ledger import Ledger
from pipeline.simulation.plan import Plan
from pipeline.simulation.story import Story, ViolationError
from pipeline.stages.gateway.desk import Desk
from pipeline.storage.journal import Journal, JournalFullError
from pipeline.storage.journal.memory_disk import MemoryDisk
from pipeline.transport.key_line import Pending
from pipeline.transport.memory import MemoryNetwork

NAME = "gateway-0"
SOURCE = "simulated"
MAINTAIN_NS = 50 * NS_PER_MS
HALT_ASPECT = "trading"
MEANWHILE = 0.3
"""Share of syncs during which the loop maintains the journal, and of events that come during one."""


class WatchedJournal(Journal):
    """The journal, telling the ledger what is decided."""

    ledger: Ledger

    def fate(self, key: str, key_seq: int, fate: Fate) -> int:
        jno = super().fate(key, key_seq, fate)
        self.ledger.decided(jno, key, key_seq, fate)
        return jno


class Gateway:
    """One incarnation. `on_settled` is told of each settled event, `on_broken` when the disk failed."""

    def __init__(
        self,
        plan: Plan,
        network: MemoryNetwork,
        clock: Clock,
        disk: MemoryDisk,
        dice: Random,
        story: Story,
        ledger: Ledger,
        rows: Mapping[str, Sequence[Delivery]],
        *,
        on_settled: Callable[[Delivery], None],
        on_broken: Callable[[], None],
    ) -> None:
        self._network = network
        self._clock = clock
        self._dice = dice
        self._story = story
        self._on_settled = on_settled
        self._on_broken = on_broken
        self.disk = disk
        self.alive = True
        self.journal = WatchedJournal.on(disk, plan.config.journal, clock)
        self._ledger = self.journal.ledger = ledger
        ledger.opened(self.journal, rows, clock.wall_us())
        disk.meanwhile = self._meanwhile
        self._came_meanwhile: list[Callable[[], None]] = []
        self._waiting: list[Callable[[], None]] = []
        self._syncing = False
        self._desk = Desk(
            NAME, clock.wall_us(), plan.timing, self.journal, clock,
            when_synced=self._when_synced, on_settled=self._settled, on_alarm=self._alarm,
            expire_after_s=plan.expire_after_s,
        )  # fmt: skip
        self.dispatcher = self._desk.dispatcher
        network.add(self.dispatcher)
        network.at(MAINTAIN_NS, self._maintain)

    def post(self, webhook_id: str, event: Event, answer: Callable[[], None]) -> None:
        """As the intake does: a repeat is answered when the first is synced, a new event when it is."""
        if self._syncing and self._dice.random() < MEANWHILE:
            self._came_meanwhile.append(lambda: self._take(webhook_id, event, answer))
        else:
            self._take(webhook_id, event, answer)

    def _take(self, webhook_id: str, event: Event, answer: Callable[[], None]) -> None:
        body = encode(event)
        try:
            known = self.journal.lookup(SOURCE, webhook_id)
            if known is not None:
                self._when_synced(answer)
                return
            births = self._births(event)
            key = None if isinstance(event, Control) else event.symbol
            accepted = self.journal.accept(SOURCE, webhook_id, sha256(body).digest()[:16], key, body, births)
        except JournalFullError:
            self._story.tell("full", webhook_id)
            return
        except RinglineError as error:
            self._broke(error)
            return
        self._story.tell("accept", f"{webhook_id} {key}")
        self._ledger.accepted(webhook_id, accepted)

        def synced() -> None:
            self._must_be_synced(accepted.jno, webhook_id)
            self._desk.dispatch(accepted.deliveries)
            answer()

        self._when_synced(synced)

    def stop(self) -> None:
        """Ends this incarnation: nothing it had planned happens any more."""
        self.alive = False
        self._network.kill(NAME)

    def _must_be_synced(self, jno: int, webhook_id: str) -> None:
        if jno > self.journal.synced:
            raise ViolationError(f"{webhook_id} is dispatched before it is synced")

    @staticmethod
    def _births(event: Event) -> dict[str, bytes] | None:
        """What keys born later begin under, as the intake derives it."""
        if not isinstance(event, Control):
            return None
        return {HALT_ASPECT: b"" if event.action == Action.RESUME else encode(event)}

    # ---- syncing: one at a time, and what comes meanwhile waits for the next

    def _when_synced(self, action: Callable[[], None]) -> None:
        self._waiting.append(action)
        if not self._syncing:
            self._start_sync()

    def _start_sync(self) -> None:
        self._syncing = True
        covered, self._waiting = self._waiting, []
        delay_ns = int(self._dice.uniform(0.5, 4) * NS_PER_MS)
        self._network.at(delay_ns, self._sync, covered)

    def _sync(self, covered: list[Callable[[], None]]) -> None:
        if not self.alive:
            return
        try:
            self.journal.sync()
        except RinglineError as error:
            self._broke(error)
            return
        self._ledger.synced(self.journal.synced)
        self._take_what_came()
        self._syncing = False
        if self._waiting:
            self._start_sync()
        for action in covered:
            action()
        self._network.wake(NAME)

    def _meanwhile(self) -> None:
        """What the event loop does while the thread that syncs waits for the disk."""
        if self.alive and self._syncing:
            self._take_what_came()
            if self._dice.random() < MEANWHILE:
                self.tidy()

    def _take_what_came(self) -> None:
        came, self._came_meanwhile = self._came_meanwhile, []
        for take in came:
            take()

    def _maintain(self) -> None:
        if self.alive:
            self.tidy()
        if self.alive:
            self._network.at(MAINTAIN_NS, self._maintain)

    def tidy(self) -> None:
        """The journal's maintenance, until there is nothing more to do before the next sync."""
        before = self.journal.bytes_used
        self._ledger.seen(self._clock.wall_us())
        try:
            self.journal.compact()
            if self.journal.unsynced:
                self._when_synced(lambda: None)
        except RinglineError as error:
            self._broke(error)
        if self.journal.bytes_used < before:
            self._story.tell("freed", f"{before - self.journal.bytes_used} bytes")

    def _broke(self, error: Exception) -> None:
        if self.alive:
            self._story.tell("disk failed", str(error))
            self._on_broken()

    # ---- the desk's words

    def _settled(self, pending: Pending) -> None:
        self._on_settled(pending.delivery)

    def _alarm(self, text: str) -> None:
        raise ViolationError(f"the audit contradicts the journal: {text}")
