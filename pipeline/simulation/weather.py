"""What wires do to frames in a run, and who cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pipeline.clock import NS_PER_MS
from pipeline.simulation.plan import Plan


class Skies:
    """A network's weather: loss, doubles, delay and reordering as drawn, and cuts between two nodes."""

    def __init__(self, plan: Plan, dice: Random) -> None:
        self._plan = plan
        self._dice = dice
        self._cuts: dict[tuple[str, str], int] = {}
        self._last_ns: dict[tuple[str, str], int] = {}
        self._paused: dict[str, int] = {}
        self._clear = False
        self.now_ns: Callable[[], int] = lambda: 0

    def weather(self, source: str, target: str) -> list[int]:
        """When the copies of a frame arrive; without reordering they keep the order of a TCP stream."""
        dice, plan, now_ns = self._dice, self._plan, self.now_ns()
        delay_ns = int((0.1 + 0.5 * dice.random()) * NS_PER_MS)
        if not self._clear:
            if dice.random() < plan.lost or self._cuts.get((source, target), 0) > now_ns:
                return []
            if dice.random() < plan.late:
                delay_ns += int(60 * dice.random() * NS_PER_MS)
            if dice.random() < plan.reordered:
                return [delay_ns]
        arrival_ns = max(now_ns + delay_ns, self._last_ns.get((source, target), 0) + 1)
        self._last_ns[source, target] = arrival_ns
        delays = [arrival_ns - now_ns]
        if not self._clear and dice.random() < plan.doubled:
            delays.append(delays[0] + NS_PER_MS)
        return delays

    def cut(self, source: str, target: str, duration_ms: float, *, both: bool) -> None:
        """Nothing gets from one to the other for a while, or in neither direction."""
        until_ns = self.now_ns() + int(duration_ms * NS_PER_MS)
        self._cuts[source, target] = until_ns
        if both:
            self._cuts[target, source] = until_ns

    def pause(self, name: str, duration_ms: float) -> None:
        """Remembers who is paused, for what goes past the network (a client's request)."""
        self._paused[name] = self.now_ns() + int(duration_ms * NS_PER_MS)

    def is_paused(self, name: str) -> bool:
        return self._paused.get(name, 0) > self.now_ns()

    def clear(self) -> None:
        self._clear = True
        self._cuts.clear()
        self._paused.clear()
