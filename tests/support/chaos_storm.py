"""Faults from one seed, done to a real pipeline while it works."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chaos_load import Load
from chaos_up import Process, Up
from servers import Postgres, Redis

from pipeline.limits import MIB

RECOVER_S = 20.0
KILLS_AN_OUTAGE = 500
"""Of each of the two kinds: so a thousand kills have eight minutes of outages of two minutes at most."""
KILLS_A_SUPERVISOR = 25
KILLS_A_SERVER = 20

Say = Callable[[str], None]


class Targets(NamedTuple):
    """What there is to be harmed."""

    up: Up
    disk: Path | None
    postgres: Postgres | None
    redis: Redis | None


class Storm:
    """`run` it while a load is on."""

    def __init__(self, targets: Targets, seed: int, longest_outage_s: float, say: Say) -> None:
        self._up, self._disk, self._postgres, self._redis = targets
        self._random = random.Random(seed)
        self._longest_outage_s = longest_outage_s
        self._say = say
        self.faults: Counter[str] = Counter()

    def run(self, kills: int, load: Load) -> None:
        """Until so many processes were killed, or something has failed."""
        planned = self._planned(kills)
        while not (load.failures or self._up.faults) and (planned or self.faults["kill"] < kills):
            if planned and planned[0][0] <= self.faults["kill"]:
                self._once(planned.pop(0)[1], load)
            else:
                faults = (self._kill, self._kill_two, self._pause)
                self._once(self._random.choices(faults, (60, 15, 20))[0], load)
            if not self._up.alive():
                self._up.faults.append(f"`ringline up` has ended by itself: {self._up.said()}")

    def _planned(self, kills: int) -> list[tuple[int, Callable[[], None]]]:
        """What is too slow or too rare for the dice: after how many kills each is due. All at least once."""
        often: list[tuple[int, Callable[[], None]]] = [
            (KILLS_AN_OUTAGE, self._stop_the_audit),
            (KILLS_AN_OUTAGE, self._kill_the_audit),
            (KILLS_A_SUPERVISOR, self._kill_the_supervisor),
        ]
        if self._disk is not None:
            often.append((KILLS_A_SERVER, self._fill))
        if self._postgres is not None:
            often.append((KILLS_A_SERVER, self._restart_postgres))
        if self._redis is not None:
            often += [(KILLS_A_SERVER, self._restart_redis), (KILLS_A_SERVER, self._freeze_redis)]
        planned = [
            (self._random.randrange(kills), fault)
            for every, fault in often
            for _ in range(max(1, kills // every))
        ]
        return sorted(planned, key=lambda one: one[0])

    def _once(self, fault: Callable[[], None], load: Load) -> None:
        taken = len(load.taken)
        fault()
        # Mostly once the pipeline moves again, so that a slow machine meets as many states as a fast one.
        wanted, end = taken + self._random.choice((0, 1, 5, 20, 50)), time.monotonic() + RECOVER_S
        while len(load.taken) < wanted and time.monotonic() < end and not load.failures:
            time.sleep(0.01)
        time.sleep(self._random.uniform(0.0, 0.3))

    # ---- processes

    def _process(self, *stages: str) -> Process | None:
        found = self._up.processes(*stages)
        return self._random.choice(found) if found else None

    def _kill(self) -> None:
        process = self._process()
        if process is not None and _sent(process, signal.SIGKILL):
            self._count("kill", process.stage)

    def _kill_two(self) -> None:
        self._kill()
        self._kill()

    def _pause(self) -> None:
        process, duration_s = self._process(), self._random.uniform(0.1, 3.0)
        if process is not None and _sent(process, signal.SIGSTOP):
            self._count("pause", f"{process.stage} for {duration_s:.1f} s")
            try:
                if self._random.random() < 0.3:
                    self._kill()
                time.sleep(duration_s)
            finally:
                _sent(process, signal.SIGCONT)

    def _stop_the_audit(self) -> None:
        """No audit moves, and none is dead: its peers have to notice by its silence."""
        duration_s = self._outage("stopped")
        stopped: set[Process] = set()
        end = time.monotonic() + duration_s
        try:
            while time.monotonic() < end:
                found = set(self._up.processes("audit")) - stopped
                stopped |= {one for one in found if _sent(one, signal.SIGSTOP)}
                time.sleep(0.05)
        finally:
            for process in stopped:
                _sent(process, signal.SIGCONT)

    def _kill_the_audit(self) -> None:
        """Every audit dies as soon as it is there again."""
        end, killed = time.monotonic() + self._outage("killed again and again"), 0
        while time.monotonic() < end:
            killed += sum(_sent(one, signal.SIGKILL) for one in self._up.processes("audit"))
            time.sleep(0.05)
        self._say(f"   the audit was killed {killed} times")

    def _outage(self, how: str) -> float:
        duration_s = self._longest_outage_s * self._random.uniform(0.7, 1.0)
        self._count("outage", f"the audit is {how} for {duration_s:.1f} s")
        return duration_s

    def _kill_the_supervisor(self) -> None:
        self._count("supervisor", "`ringline up` is killed and started again")
        self._up.kill()
        self._up.start()

    # ---- what they stand on

    def _fill(self) -> None:
        """Takes every byte of the small disk for a while."""
        assert self._disk is not None
        filler = self._disk / "filler"
        duration_s = self._random.uniform(0.3, 2.5)
        self._count("fill", f"the disk for {duration_s:.1f} s")
        try:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(MIB)):
                    pass
            time.sleep(duration_s)
        finally:
            filler.unlink()

    def _restart_postgres(self) -> None:
        assert self._postgres is not None
        how = self._random.choice((signal.SIGINT, signal.SIGQUIT))
        self._count("postgres", f"restarted ({how.name})")
        self._postgres.stop(how)
        time.sleep(self._random.uniform(0.0, 2.0))
        self._postgres.start()

    def _restart_redis(self) -> None:
        assert self._redis is not None
        self._count("redis", "killed and started")
        self._redis.stop()
        time.sleep(self._random.uniform(0.0, 2.0))
        self._redis.start()

    def _freeze_redis(self) -> None:
        assert self._redis is not None
        self._count("redis", "frozen")
        self._redis.freeze()
        time.sleep(self._random.uniform(0.2, 2.0))
        self._redis.thaw()

    def _count(self, kind: str, what: str) -> None:
        self.faults[kind] += 1
        self._say(f"{sum(self.faults.values())}: {kind} {what}")


def _sent(process: Process, number: signal.Signals) -> bool:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True
