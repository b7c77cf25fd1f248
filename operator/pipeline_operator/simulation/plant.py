"""The plant: a chain of stages with queues, credit, service times with noise and pods that take time to
start.

Discrete time, fluid messages, FIFO queues by time of arrival. A stage's lag is the age of the oldest
message that is destined for it and not done, so what its sender could not send for want of credit counts as
well. One seed is one run.
"""

from __future__ import annotations

import random
from collections import deque
from operator import sub
from typing import NamedTuple

STEP_MS = 250
STEP_S = STEP_MS / 1000


class StageModel(NamedTuple):
    """One stage of the plant.

    `rate` messages a second a replica, ± `noise` (a share, one standard deviation, anew every second);
    `workers` messages a replica works on at once, `credit` messages a replica may hold; a pod is ready
    after `start_s` ± `start_noise`.
    """

    name: str
    rate: float
    first: int = 1
    most: int = 40
    noise: float = 0.05
    workers: int = 4
    credit: int = 256
    start_s: float = 8.0
    start_noise: float = 0.25


class Totals(NamedTuple):
    """Sums since the beginning, of one stage."""

    handled: float = 0.0
    throttled: float = 0.0
    blocked_ms: float = 0.0
    busy_s: float = 0.0
    """Replica seconds at work."""
    in_hand: float = 0.0
    """Message seconds: what is queued and worked on, integrated; its mean over a window is the
    concurrency."""
    arrived: float = 0.0
    ready_s: float = 0.0
    """Replica seconds ready."""


class PlantStage:
    """The state of one stage."""

    def __init__(self, model: StageModel, seed: int) -> None:
        self.model = model
        self.ready = model.first
        self.starting: list[tuple[float, float]] = []
        """(when asked for, when ready), the highest ordinal last."""
        self.started_s: list[float] = []
        """Start times of pods that became ready in the last step."""
        self.queue: deque[list[float]] = deque()
        """[when it arrived, how many]"""
        self.queued = 0.0
        self.history: list[Totals] = [Totals()]
        # Dice of their own: what an autoscaler does must not change the speed of the others.
        self._speed_dice = random.Random(f"{seed} {model.name} speed")
        self._start_dice = random.Random(f"{seed} {model.name} start")
        self._speed = 1.0

    @property
    def replicas(self) -> int:
        return self.ready + len(self.starting)

    def scale(self, replicas: int, now_s: float) -> None:
        """The highest ordinals leave first: those that start, as StatefulSets have it."""
        while self.replicas > replicas:
            if self.starting:
                self.starting.pop()
            else:
                self.ready -= 1
        while self.replicas < replicas:
            spread = 1 + self.model.start_noise * self._start_dice.uniform(-1, 1)
            self.starting.append((now_s, now_s + self.model.start_s * spread))

    def lag_s(self, now_s: float) -> float:
        return now_s - self.queue[0][0] if self.queue else 0.0

    def credit(self) -> float:
        """What its replicas may hold."""
        return float(self.ready * self.model.credit)

    def take(self, count: float, now_s: float) -> None:
        if count > 0:
            self.queue.append([now_s, count])
            self.queued += count

    def begin(self, now_s: float, step: int) -> None:
        """Pods that have started; a new speed every second."""
        self.started_s = [ready_s - asked_s for asked_s, ready_s in self.starting if ready_s <= now_s]
        self.ready += len(self.started_s)
        self.starting = [pod for pod in self.starting if pod[1] > now_s]
        if step % (1000 // STEP_MS) == 0:
            self._speed = max(0.1, self._speed_dice.gauss(1, self.model.noise))

    def work(self, room: float) -> float:
        """Handles what it can within a step; returns how much. `room` is what may be sent on."""
        could = min(self.queued, self.ready * self.model.rate * self._speed * STEP_S)
        done = min(could, room)
        left = done
        while left > 1e-9 and self.queue:
            head = self.queue[0]
            if head[1] <= left + 1e-9:
                left -= head[1]
                self.queue.popleft()
            else:
                head[1] -= left
                left = 0
        self.queued = max(0.0, self.queued - done) if self.queue else 0.0
        self._note(done, could)
        return done

    def _note(self, done: float, could: float) -> None:
        last = self.history[-1]
        blocked = (1 - done / could) if could > 0 else 0.0
        busy = done / (self.model.rate * self._speed)
        self.history.append(
            Totals(
                last.handled + done,
                last.throttled,
                last.blocked_ms + blocked * STEP_MS * self.ready,
                last.busy_s + busy,
                last.in_hand + (self.queued + busy / STEP_S * self.model.workers) * STEP_S,
                last.arrived,
                last.ready_s + self.ready * STEP_S,
            )
        )

    def arrive(self, count: float, now_s: float) -> None:
        """What its sender has done for it; the part beyond its credit has waited for it."""
        waited = min(count, max(0.0, self.queued + count - self.credit()))
        self.take(count, now_s)
        last = self.history[-1]
        self.history[-1] = last._replace(throttled=last.throttled + waited, arrived=last.arrived + count)

    def window(self, seconds: float) -> Totals:
        """What was summed up within the last so many seconds."""
        back = max(0, len(self.history) - 1 - round(seconds / STEP_S))
        now, then = self.history[-1], self.history[back]
        return Totals(*map(sub, now, then))


class Plant:
    """The chain. `arrived` is what came in from outside within the last steps."""

    def __init__(self, models: tuple[StageModel, ...], seed: int) -> None:
        self._load_dice = random.Random(f"{seed} load")
        self.stages = [PlantStage(model, seed) for model in models]
        self.now_s = 0.0
        self.step = 0

    def advance(self, rate: float) -> None:
        """One step under a load of `rate` messages a second, Poisson by its normal approximation."""
        self.now_s += STEP_S
        self.step += 1
        mean = rate * STEP_S
        arrivals = max(0.0, float(round(self._load_dice.gauss(mean, mean**0.5))))
        for stage in self.stages:
            stage.begin(self.now_s, self.step)
        after: PlantStage | None = None
        for stage in reversed(self.stages):
            # A worker keeps as much output as its own credit while the next stage gives none.
            room = float("inf")
            if after is not None:
                room = max(0.0, after.credit() + stage.credit() - after.queued)
            done = stage.work(room)
            if after is not None:
                after.arrive(done, self.now_s)
            after = stage
        self.stages[0].arrive(arrivals, self.now_s)
