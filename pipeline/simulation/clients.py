"""Clients: they post a plan's events and repeat each, under the same id, until it is answered 202."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec import Struct

from pipeline.clock import NS_PER_MS
from pipeline.messages import Action, Candle, Control, Event, Signal
from pipeline.simulation.plan import FAULTS_MS, Plan
from pipeline.transport.memory import MemoryNetwork

DAY_US = 86_400_000_000
FIRST_DAY_US = 978_382_800_000_000
SCALE = 10_000
"""The default instrument's price and quantity scale."""
POISON_SHARE = 0.01
CONTROL_POISON_SHARE = 0.1
CONTROL_SHARE = 0.03
ANSWER_MS = 0.3
LULL_MS = (500, 1_900)
BUSY_EVENTS = 30
ONCE_MORE_DAY = 1_000
"""Later than any candle's day before."""


class Sent(Struct, frozen=True):
    """An event as its client sees it."""

    webhook_id: str
    event: Event
    at_ms: float
    poison: str
    """The stage that dies when it steps this event; empty: none."""


class Clients:
    """Posts through `post(webhook_id, event, answer)`, which may be unable to answer."""

    def __init__(
        self,
        plan: Plan,
        network: MemoryNetwork,
        dice: Random,
        post: Callable[[str, Event, Callable[[], None]], None],
    ) -> None:
        self._network = network
        self._dice = dice
        self._post = post
        self._lost = plan.lost * 5
        self._keys = plan.keys
        self.sent = {item.webhook_id: item for item in _events(plan, dice)}
        self.unanswered = set(self.sent)
        self.answered: set[str] = set()
        """What was ever answered 202, also where the answer got lost on its way."""
        for item in self.sent.values():
            network.at(int(item.at_ms * NS_PER_MS), self._try, item)
            if dice.random() < 0.05:  # a client that repeats without need
                network.at(int((item.at_ms + dice.uniform(0, 300)) * NS_PER_MS), self._once, item)

    def busy_while(self, sick: str) -> None:
        """A poisonous event for the sick key, and many for the others."""
        self._post_new("poisonous", sick, 1.0, poison="agent")
        for number in range(BUSY_EVENTS):
            others = [f"K{key}" for key in range(1, self._keys)] or ["other"]
            self._post_new(f"busy{number}", self._dice.choice(others), self._dice.uniform(1, 400))

    def _post_new(self, webhook_id: str, key: str, after_ms: float, poison: str = "") -> None:
        event = _candle(key, ONCE_MORE_DAY + len(self.sent), 100 * SCALE)
        item = self.sent[webhook_id] = Sent(webhook_id, event, 0.0, poison)
        self.unanswered.add(webhook_id)
        self._network.at(int(after_ms * NS_PER_MS), self._try, item)

    def once_more(self, *, within_retention: bool) -> None:
        """Repeats everything, if the journal must know it still, and posts new events: one of each key, and
        of one that was never seen. All of it at once."""
        if within_retention:
            for item in self.sent.values():
                self._network.at(int(self._dice.uniform(10, 20) * NS_PER_MS), self._once, item)
        for number in range(self._keys + 1):
            self._post_new(f"again{number}", f"K{number}", self._dice.uniform(10, 20))

    def _try(self, item: Sent) -> None:
        if item.webhook_id in self.unanswered:
            self._once(item)
            self._network.at(int(self._dice.uniform(50, 200) * NS_PER_MS), self._try, item)

    def _once(self, item: Sent) -> None:
        def answer() -> None:
            self.answered.add(item.webhook_id)
            if self._dice.random() >= self._lost:
                self.unanswered.discard(item.webhook_id)

        delay_ns = int(ANSWER_MS * NS_PER_MS)
        self._network.at(delay_ns, self._post, item.webhook_id, item.event, answer)


def _events(plan: Plan, dice: Random) -> list[Sent]:
    """Candles in the order of their days, signals and controls between them."""
    keys = [f"K{n}" for n in range(plan.keys)]
    days = dict.fromkeys(keys, 0)
    prices = dict.fromkeys(keys, 100 * SCALE)
    moments = sorted(_moment(plan, dice) for _ in range(plan.events))
    found = []
    for number, at_ms in enumerate(moments):
        known = 1 + int(at_ms / FAULTS_MS * len(keys)) if plan.late_keys else len(keys)
        key = keys[0] if dice.random() < plan.hot else dice.choice(keys[:known])
        event: Event
        if dice.random() < CONTROL_SHARE:
            event = Control(dice.choice(list(Action)).value, "simulated")
        elif dice.random() < 0.2:
            event = Signal(key, "signal", dice.choice([-1, 0, 1]), SCALE * dice.randint(1, 9), prices[key])
        else:
            days[key] += 1
            prices[key] = max(SCALE, prices[key] + dice.randint(-5, 5) * SCALE)
            event = _candle(key, days[key], prices[key])
        poison = ""
        if dice.random() < (CONTROL_POISON_SHARE if isinstance(event, Control) else POISON_SHARE):
            poison = dice.choice(["agent", "exec", "audit"])
        found.append(Sent(f"e{number}", event, at_ms, poison))
    return found


def _moment(plan: Plan, dice: Random) -> float:
    at_ms = dice.uniform(0, FAULTS_MS * 0.95) if dice.random() < 0.8 else 300.0
    begin, end = LULL_MS
    return begin * at_ms / FAULTS_MS if plan.lull and at_ms < end else at_ms


def _candle(key: str, day: int, close: int) -> Candle:
    time_us = FIRST_DAY_US + day * DAY_US
    return Candle(key, time_us, close, close + SCALE, max(1, close - SCALE), close, 1_000 * SCALE)
