"""Agent and exec as a protocol machine: takes deliveries, steps each key in order, passes them on.

A worker steps only the next key_seq of the state it holds. Anything else it asks audit about, and then
settles, steps or refuses: it never ignores, never holds for a gap, never confirms from its own memory.
It may forget any key at any time. Pure: frames and time in, actions out.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable

from pipeline import limits
from pipeline.delivery import Delivery
from pipeline.transport import wire
from pipeline.transport.downlinks import Downlinks
from pipeline.transport.held import Key, Work
from pipeline.transport.outbox import Act, Outbox
from pipeline.transport.questions import Questions
from pipeline.transport.seldom_log import SeldomLog
from pipeline.transport.settings import Meter, NoMeter, Timing, correlation_of
from pipeline.transport.steps import Hand, NoHand, Steps
from pipeline.transport.uplinks import Uplink, Uplinks
from pipeline.transport.venue import Venue
from pipeline.transport.worker_statistics import WorkerStatistics

log = logging.getLogger(__name__)
_senseless = SeldomLog(log, limits.STRANGE_SAY_EVERY_S)


class Worker:
    """One agent or exec worker."""

    def __init__(
        self,
        name: str,
        next_stage: str,
        boot: int,
        steps: Steps,
        timing: Timing,
        *,
        max_keys: int,
        died_in_hand: tuple[str, int] | None = None,
        hand: Hand | None = None,
        meter: Meter | None = None,
        clock_ns: Callable[[], int] | None = None,
        venue: Venue[tuple[Key, Work]] | None = None,
    ) -> None:
        self.name = name
        self._venue = venue
        self._now_ns = 0
        self._clock_ns = clock_ns or self._turn_ns
        self._boot = boot
        self._steps = steps
        self._max_keys = max_keys
        self._hand = hand or NoHand()
        self._meter = meter or NoMeter()
        self._outbox = Outbox()
        self._up = Uplinks(
            boot, timing, self._outbox, died_in_hand, on_message=self._got, on_closed=self._closed
        )
        self._down = Downlinks(
            name, next_stage, boot, timing, self._outbox,
            on_settled=self._settled, on_refused=self._refused, on_died=self._died, on_change=lambda: None,
        )  # fmt: skip
        self._questions = Questions(timing, self._outbox)
        self._keys: dict[str, Key] = {}
        self._inbox: deque[Work] = deque()
        self._outputs: dict[str, deque[Work]] = {}
        self._blocked_since_ns: int | None = None
        self._refusals = 0
        self._failures = 0

    # ---- driven from outside

    def set_members(self, downstream: Iterable[int], audits: Iterable[int]) -> None:
        self._down.set_members(downstream)
        self._questions.set_audits(audits)

    def from_up(self, address: bytes, frame: wire.Frame, now_ns: int) -> None:
        self._now_ns = now_ns
        self._up.receive(address, frame, now_ns)

    def from_down(self, ordinal: int, frame: wire.Frame, now_ns: int) -> None:
        self._now_ns = now_ns
        self._down.receive(ordinal, frame, now_ns)

    def from_ask(self, frame: wire.Frame, now_ns: int) -> None:
        self._now_ns = now_ns
        for message in frame.messages:
            if isinstance(message, wire.State) and self._questions.answered(message):
                self._answered(message)

    def work(self, now_ns: int, most: int) -> bool:
        """Handles up to `most` messages of the inbox; whether more are waiting."""
        self._now_ns = now_ns
        if self._venue is not None:
            for held, work in self._venue.answered(now_ns):
                self._back(held, work)
        inbox = self._inbox
        for _ in range(min(most, len(inbox))):
            item = inbox.popleft()
            if item.wanted:
                self._handle(item)
        return bool(inbox)

    def tick(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._down.tick(now_ns)
        self._up.tick(now_ns)
        self._questions.tick(now_ns)

    def take(self, now_ns: int) -> list[Act]:
        """Everything to be sent now."""
        self._flush(now_ns)
        return self._outbox.take()

    def leave(self) -> None:
        """GOODBYE: no new keys; what is in flight is finished."""
        self._up.leave()

    @property
    def due_ns(self) -> int | None:
        """When there will be work to do though nothing arrives; None: never."""
        return None if self._venue is None else self._venue.due_ns

    @property
    def leaving(self) -> bool:
        return self._up.leaving

    @property
    def drained(self) -> bool:
        return self._up.leaving and not self._up.depth

    def _turn_ns(self) -> int:
        return self._now_ns

    # ---- keys

    def _got(self, link: Uplink, link_seq: int, delivery: Delivery) -> None:
        self._inbox.append(Work(link, link_seq, delivery, self._now_ns))

    def _handle(self, work: Work) -> None:
        delivery = work.delivery
        held = self._keys.get(delivery.key)
        if held is None:
            if len(self._keys) >= self._max_keys:
                self._evict()
            held = self._keys[delivery.key] = Key()
            if delivery.key_seq != 1:
                held.queue.append(work)
                self._ask(delivery.key, held)
                return
            # Nothing to ask: a key starts from nothing.
            held.position = 0
            held.state = self._steps.origin(delivery.key)
        if held.waiting or held.away:
            held.queue.append(work)
        else:
            self._take(held, work, asked=False)

    def _take(self, held: Key, work: Work, *, asked: bool) -> None:
        delivery = work.delivery
        if delivery.key_seq == held.position + 1 and self._steps.fits(held.state, delivery):
            if self._venue is not None and self._venue.wants(delivery):
                held.away = True
                self._venue.ask((held, work), self._now_ns)
            else:
                self._step(held, work)
        elif not asked:
            held.queue.append(work)
            self._ask(delivery.key, held)
        elif delivery.key_seq <= held.settled:
            self._settle_up(delivery.key, held.settled, held.settled_id)
        else:
            self._refuse(work.link, delivery.key, work.link_seq)

    def _back(self, held: Key, work: Work) -> None:
        """The venue has answered: now its step, and then what has queued up behind it."""
        held.away = False
        if work.wanted:
            if self._keys.get(work.delivery.key) is held:
                assert self._venue is not None
                self._venue.answering()
                self._step(held, work)
            else:
                self._inbox.append(work)  # the key was forgotten meanwhile: from its beginning
        self._resume(held, asked=False)

    def _resume(self, held: Key, *, asked: bool) -> None:
        """Takes what was queued while the key could not go on."""
        queue, held.queue = held.queue, []
        for work in queue:
            if not work.wanted:
                continue
            if self._keys.get(work.delivery.key) is not held:
                self._inbox.append(work)
            elif held.waiting or held.away:
                held.queue.append(work)
            else:
                self._take(held, work, asked=asked)

    def _step(self, held: Key, work: Work) -> None:
        delivery = work.delivery
        correlation = correlation_of(delivery.event_id)
        self._meter.consumed(self._clock_ns() - work.since_ns, correlation)
        try:
            self._hand.note(delivery.key, delivery.key_seq)
            held.state = self._steps.step(held.state, delivery)
        except Exception as error:
            # As if this worker had died on the event, without taking the other keys with it.
            log.error(
                "step of %s:%d failed: %s: %s", delivery.key, delivery.key_seq, type(error).__name__, error
            )
            log.debug("step failed", exc_info=True)
            self._failures += 1
            for link in self._up:
                link.died(delivery.key, delivery.key_seq, self.name, self._boot + self._failures)
            self._hand.clear()
            self._refuse(work.link, delivery.key, work.link_seq)
            return
        self._hand.clear()
        held.position = delivery.key_seq
        work.link.done(work.link_seq)
        work.since_ns = self._clock_ns()
        outputs = self._outputs.get(delivery.key)
        if outputs is None:
            self._outputs[delivery.key] = deque((work,))
        else:
            outputs.append(work)

    def _ask(self, key: str, held: Key) -> None:
        held.waiting = True
        held.asked_at = held.settled
        self._questions.ask(key, self._now_ns)

    def _answered(self, answer: wire.State) -> None:
        tail = answer.tail
        held = self._keys.get(tail.key)
        if held is None or not held.waiting:
            return
        # Older than what is known by now: ask again. Less than was known before it was asked: the audit has
        # lost rows (it was restored from a backup), and what it has now is what counts.
        if held.asked_at <= tail.last < held.settled:
            self._ask(tail.key, held)
            return
        try:
            state = self._steps.rebuild(tail)
        except Exception as error:
            # The key waits until the audit's answer makes sense, and takes none of the others with it.
            _senseless.say(
                "%s cannot be rebuilt from what the audit has: %s: %s", tail.key, type(error).__name__, error
            )
            self._questions.ask_later(tail.key, self._now_ns)
            return
        held.waiting = False
        held.position = held.settled = tail.last
        held.settled_id = tail.event_id
        held.state = state
        self._resume(held, asked=True)

    def _evict(self) -> None:
        """Forgets one key that has nothing in flight; a state can always be asked for again."""
        flying = {key for link in self._up for key in link.table}
        for key, held in self._keys.items():
            if key not in flying and not (held.waiting or held.away):
                self._drop(key)
                return

    def _drop(self, key: str) -> None:
        held = self._keys.pop(key, None)
        self._questions.drop(key)
        if held is not None:
            self._inbox.extend(work for work in held.queue if work.wanted)

    # ---- answers from below, passed up

    def _settled(self, key: str, last: int, event_id: bytes) -> None:
        held = self._keys.get(key)
        if held is not None and last > held.settled:
            held.settled = last
            held.settled_id = event_id
        self._settle_up(key, last, event_id)

    def _settle_up(self, key: str, last: int, event_id: bytes) -> None:
        for link in self._up:
            link.settle(key, last, event_id)
        self._prune(key)
        if key not in self._outputs:
            self._down.forget(key)

    def _refused(self, key: str) -> None:
        for link in self._up:
            if link.refuse(key, link.received):
                self._refusals += 1
        self._prune(key)
        self._drop(key)

    def _refuse(self, link: Uplink, key: str, upto: int) -> None:
        if link.refuse(key, upto):
            self._refusals += 1
        self._prune(key)
        self._drop(key)

    def _died(self, key: str, key_seq: int, worker: str, boot: int) -> None:
        for link in self._up:
            link.died(key, key_seq, worker, boot)

    def _closed(self, link: Uplink) -> None:
        for key in link.table:
            self._prune(key)

    def _prune(self, key: str) -> None:
        """An output lives as long as its entry upstream."""
        outputs = self._outputs.get(key)
        if outputs is None:
            return
        kept = deque(work for work in outputs if work.wanted)
        if kept:
            self._outputs[key] = kept
        else:
            del self._outputs[key]

    # ---- sending on

    def _flush(self, now_ns: int) -> None:
        blocked = False
        for key in list(self._outputs):
            outputs = self._outputs[key]
            while outputs:
                work = outputs[0]
                link = self._down.route(key)
                if link is None or link.free <= 0:
                    blocked = True
                    if link is not None:
                        self._throttled(outputs, link.ordinal)
                    break
                outputs.popleft()
                self._down.transmit(link, work.delivery, work.since_ns)
                self._meter.published(max(0, now_ns - work.since_ns), correlation_of(work.delivery.event_id))
            if not outputs:
                del self._outputs[key]
        # Also without output at hand: upstream's credit may be all that keeps it from piling up here.
        self._account(now_ns, blocked or self._down.clogged or bool(self._questions))

    def _throttled(self, outputs: deque[Work], ordinal: int) -> None:
        """All of these wait for credit; each is counted once."""
        for work in outputs:
            if not work.throttled:
                work.throttled = True
                self._meter.throttled(ordinal)

    def _account(self, now_ns: int, blocked: bool) -> None:
        since_ns = self._blocked_since_ns
        if since_ns is not None:
            self._meter.blocked(now_ns - since_ns)
        self._blocked_since_ns = now_ns if blocked else None

    # ---- looking

    @property
    def depth(self) -> int:
        """Messages received whose own work is not done."""
        away = 0 if self._venue is None else len(self._venue)
        return len(self._inbox) + away + sum(len(held.queue) for held in self._keys.values() if held.queue)

    def lags_ns(self, now_ns: int) -> dict[int, int]:
        """Age of the oldest message destined for each downstream worker and not `done`, by ordinal."""
        oldest = self._down.oldest_ns()
        for key, outputs in self._outputs.items():
            link = self._down.route(key) or self._down.routed(key)
            if link is not None:
                since_ns = oldest.get(link.ordinal)
                oldest[link.ordinal] = min(outputs[0].since_ns, since_ns or outputs[0].since_ns)
        return {ordinal: max(0, now_ns - since) if since else 0 for ordinal, since in oldest.items()}

    def statistics(self) -> WorkerStatistics:
        return WorkerStatistics(
            inbox=len(self._inbox),
            outputs=sum(map(len, self._outputs.values())),
            received=self._up.depth,
            fullest_link=max((link.depth for link in self._up), default=0),
            keys=len(self._keys),
            questions=len(self._questions),
            refused=self._refusals,
            failed_steps=self._failures,
            resets=self._up.resets,
            links_lost=self._down.links_lost,
            downlinks=self._down.statistics(),
        )
