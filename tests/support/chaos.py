"""The whole pipeline under load while its processes are killed and paused, its disk is filled, its database
restarted, its audit held back and its journal damaged.

    python tests/support/chaos.py --kills 1000 --seed 1 [--postgres]

posts candles to every symbol in order, each until it is answered 202, and afterwards checks: what was
answered 202 is audited exactly once, in order of its key, the chain verifies, and the digest is that of the
same events in one process without any faults. A damaged journal either gives back all that was synced or is
refused in clear words. Prints a line for each fault; at a failure the whole story is what was printed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from real_pipeline import Client, Running, candle, make_config
from servers import Postgres, running_postgres

from pipeline.clock import Clock, FakeClock, SystemClock
from pipeline.config import Config
from pipeline.config.schema import Journal as JournalSettings
from pipeline.delivery import Delivery
from pipeline.errors import RinglineError
from pipeline.limits import MAX_QUERY_ROWS, MIB
from pipeline.messages import Fate
from pipeline.stages.inprocess import InProcessPipeline
from pipeline.storage.audit.digest import run_digest
from pipeline.storage.audit.engines import open_reader
from pipeline.storage.audit.reader import AuditReader
from pipeline.storage.audit.rows import AuditRow
from pipeline.storage.journal import Journal

SYMBOLS = tuple(f"S{number}" for number in range(6))
STAGES = ("gateway", "agent", "exec", "audit", "collector")
DISK_BYTES = 96 * MIB
SETTLE_S = 120.0
DAMAGES = 100
RECOVER_S = 20.0

Say = Callable[[str], None]


def price(symbol: str, day: int) -> str:
    return f"{100 + (day * 7 + 13 * int(symbol[1:])) % 37}.00"


class Load:
    """A lane a symbol: the next candle after the 202 of the one before, whatever it takes."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stop = threading.Event()
        self.answers: dict[str, str] = {}
        """webhook-id → event_id of its 202."""
        self.failures: list[str] = []
        self.refusals: Counter[int] = Counter()
        self._lanes = [threading.Thread(target=self._lane, args=(one,), daemon=True) for one in SYMBOLS]

    def __enter__(self) -> Load:
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for lane in self._lanes:
            lane.join(SETTLE_S)
            if lane.is_alive():
                self.failures.append("a lane is stuck: its event was never taken")

    def _lane(self, symbol: str) -> None:
        client, day = Client(self._config), 0
        while not self._stop.is_set():
            webhook_id = f"{symbol}-{day}"
            body = candle(symbol, day, price(symbol, day))
            # An event that was tried is followed until it is taken: it may be in the journal already.
            try:
                while not self._taken(client, webhook_id, body):
                    time.sleep(0.02)
            except AssertionError as error:
                self.failures.append(str(error))
                return
            day += 1
            time.sleep(0.01)
        client.close()

    def _taken(self, client: Client, webhook_id: str, body: dict[str, Any]) -> bool:
        try:
            status, answer, headers = client.post(webhook_id, body)
        except Exception:  # killed, paused or not there yet: any way that a connection can end
            return False
        if status == 202:
            self.answers[webhook_id] = answer["event_id"]
            return True
        self.refusals[status] += 1
        assert status == 503, f"{webhook_id}: {status} {answer}"
        assert "retry-after" in headers, f"{webhook_id}: 503 without Retry-After"
        return False


class Chaos:
    """Faults from one seed."""

    def __init__(
        self, running: Running, disk: Path | None, postgres: Postgres | None, seed: int, say: Say
    ) -> None:
        self._running = running
        self._disk = disk
        self._postgres = postgres
        self._random = random.Random(seed)
        self._say = say
        self.faults: Counter[str] = Counter()

    def run(self, kills: int, load: Load) -> None:
        """Until so many processes were killed, or something has failed."""
        while self.faults["kill"] < kills and not load.failures:
            taken = len(load.answers)
            fault = self._random.choices(
                (self._kill, self._kill_two, self._pause, self._hold_the_audit, self._fill, self._restart),
                (60, 8, 20, 3, 4 if self._disk else 0, 4 if self._postgres else 0),
            )[0]
            fault()
            # Mostly once the pipeline moves again, so that a slow machine meets as many states as a fast one.
            wanted, end = taken + self._random.choice((0, 1, 5, 20, 50)), time.monotonic() + RECOVER_S
            while len(load.answers) < wanted and time.monotonic() < end and not load.failures:
                time.sleep(0.01)
            time.sleep(self._random.uniform(0.0, 0.3))

    def _worker(self, *stages: str) -> tuple[str, int] | None:
        found = [one for one in self._running.supervisor.processes() if one.stage in (stages or STAGES)]
        chosen = self._random.choice(found) if found else None
        return (chosen.name, chosen.pid) if chosen else None

    def _kill(self, *stages: str) -> None:
        worker = self._worker(*stages)
        if worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker[1], signal.SIGKILL)
                self._count("kill", worker[0])

    def _kill_two(self) -> None:
        self._kill()
        self._kill()

    def _pause(self, duration_s: float = 0.0, *stages: str) -> None:
        worker = self._worker(*stages)
        if worker is None:
            return
        duration_s = duration_s or self._random.uniform(0.1, 3.0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker[1], signal.SIGSTOP)
            self._count("pause", f"{worker[0]} for {duration_s:.1f} s")
            try:
                if self._random.random() < 0.3:
                    self._kill()
                time.sleep(duration_s)
            finally:
                os.kill(worker[1], signal.SIGCONT)

    def _hold_the_audit(self) -> None:
        self._pause(self._random.uniform(3.0, 8.0), "audit")

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

    def _restart(self) -> None:
        assert self._postgres is not None
        how = self._random.choice((signal.SIGINT, signal.SIGQUIT))
        self._count("restart", f"PostgreSQL ({how.name})")
        self._postgres.stop(how)
        time.sleep(self._random.uniform(0.0, 2.0))
        self._postgres.start()

    def _count(self, kind: str, what: str) -> None:
        self.faults[kind] += 1
        self._say(f"{sum(self.faults.values())}: {kind} {what}")


def check(config: Config, answers: dict[str, str]) -> list[str]:
    """What is wrong with the audit; empty when all is well."""
    with contextlib.closing(open_reader(config)) as audit:
        rows = [row.delivery for row in every_row(audit)]
        report = audit.verify()
        digest = audit.run_digest()
    faults = [] if report.ok else [f"the chain does not verify: {report.detail}"]
    of_row = Counter(row.event_id.hex() for row in rows)
    taken = set(answers.values())
    faults += [f"audited {count} times: {one}" for one, count in of_row.items() if count != 1]
    faults += [f"answered 202 and not audited: {one}" for one in sorted(taken - of_row.keys())]
    faults += [f"audited and never answered 202: {one}" for one in sorted(of_row.keys() - taken)]
    by_key: dict[str, list[Delivery]] = {}
    for row in rows:
        by_key.setdefault(row.key, []).append(row)
    for key, of_key in by_key.items():
        if [row.webhook_id for row in of_key] != [f"{key}-{day}" for day in range(len(of_key))]:
            faults.append(f"{key} is out of order")
    lettered = [row for row in rows if row.fate != Fate.LIVE]
    if lettered:
        faults += [f"given up after three deaths: {row.webhook_id}" for row in lettered]
    elif digest != undisturbed(config, {key: len(of_key) for key, of_key in by_key.items()}):
        faults.append("the digest is not that of the undisturbed run")
    return faults


def every_row(audit: AuditReader) -> Iterator[AuditRow]:
    """All rows, in the order of the chain."""
    after = 0
    while page := audit.rows(after=after, limit=MAX_QUERY_ROWS):
        yield from page
        after = page[-1].seq


def undisturbed(config: Config, days: dict[str, int]) -> str:
    """The digest of the same events, handled in one process without any faults."""
    pipeline = InProcessPipeline(config)
    return run_digest(
        pipeline.handle(pipeline.sign(f"{key}-{day}", msgspec.json.encode(candle(key, day, price(key, day)))))
        for key in sorted(days)
        for day in range(days[key])
    )


def damage(
    folder: Path, settings: JournalSettings, webhook_ids: Sequence[str], seed: int, say: Say
) -> list[str]:
    """Cuts and corrupts copies of a journal: what opens must hold what the undamaged one held."""
    rng = random.Random(seed)
    clock = FakeClock(wall_us=SystemClock().wall_us())  # what is kept for a while must not end in between
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ringline-damage-") as scratch:
        intact = _held(Path(shutil.copytree(folder, Path(scratch) / "intact")), settings, clock, webhook_ids)
        refused = 0
        for number in range(DAMAGES):
            copy = Path(shutil.copytree(folder, Path(scratch) / str(number)))
            file = rng.choice([one for one in sorted(copy.iterdir()) if one.stat().st_size and one.is_file()])
            where = rng.randrange(file.stat().st_size)
            if rng.random() < 0.3:
                os.truncate(file, where)
                what = f"{file.name} cut at {where}"
            else:
                with file.open("r+b") as stream:
                    stream.seek(where)
                    old = stream.read(1)
                    stream.seek(where)
                    stream.write(bytes([old[0] ^ (1 << rng.randrange(8))]))
                what = f"{file.name} changed at {where}"
            try:
                if _held(copy, settings, clock, webhook_ids) != intact:
                    faults.append(f"{what}: opened, and holds something else")
            except RinglineError as error:
                refused += 1
                if not str(error):
                    faults.append(f"{what}: refused without a word")
            shutil.rmtree(copy)
    say(f"{DAMAGES} damaged journals: {refused} refused, the others held everything")
    return faults


def _held(
    folder: Path, settings: JournalSettings, clock: Clock, webhook_ids: Sequence[str]
) -> tuple[Any, ...]:
    """Each key's last event, and which events the journal knows."""
    journal = Journal.open(folder, settings, clock)
    try:
        known = [journal.lookup("demo", webhook_id) is not None for webhook_id in webhook_ids]
        return ([journal.last(symbol) for symbol in SYMBOLS], known)
    finally:
        journal.close()


@contextlib.contextmanager
def small_disk() -> Iterator[Path | None]:
    """A file system of DISK_BYTES of its own; None where that is not allowed."""
    with tempfile.TemporaryDirectory(prefix="ringline-chaos-") as name:
        mounted = os.geteuid() == 0 and not subprocess.call(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "ringline-chaos", name],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Path(name) if mounted else None
        finally:
            if mounted:
                subprocess.call(["umount", "-l", name])


def chaos(folder: Path, kills: int, seed: int, say: Say, *, postgres: bool = False) -> list[str]:
    """One run; what went wrong, empty when nothing did."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk())
        server = stack.enter_context(running_postgres()) if postgres else None
        changes: dict[str, Any] = {
            "journal": {"max_bytes": 16 * MIB, "segment_bytes": MIB},
            "agent": {"workers": 2}, "exec": {"workers": 2},
            "audit": {},
            "supervisor": {"restarts": 10_000, "restart_window_s": 60},
            "space": {"floor_bytes": 0, "warn_bytes": 0},
        }  # fmt: skip
        if server is not None:
            (folder / "dsn").write_text(server.dsn)
            changes["audit"] = {"engine": "postgres", "workers": 2, "dsn_file": str(folder / "dsn")}
        if disk is not None:
            changes["data_dir"] = str(disk / "data")
        changes["gateway"] = {"max_candle_ahead_s": 4_102_444_800}  # a long run comes to years ahead of us
        config = make_config(folder, **changes)
        say(f"seed {seed}: {kills} kills; {'a small disk' if disk else 'no small disk: not root'}")
        with Running(config) as running:
            with Load(config) as load:
                storm = Chaos(running, disk, server, seed, say)
                storm.run(kills, load)
                say(f"calm: {len(load.answers)} events taken so far")
            faults = load.failures + _settle(config, load.answers)
        faults = faults or check(config, load.answers)
        if not faults:
            faults = damage(
                Path(config.data_dir) / "journal", config.journal, sorted(load.answers), seed, say
            )
        say(f"{len(load.answers)} events taken, {dict(load.refusals)} refused and repeated; "
            f"{running.supervisor.restarts} restarts; faults made: {dict(storm.faults)}")  # fmt: skip
        for line in running.lines[-20:] if faults else ():
            say(f"supervisor: {line}")
        return faults


def _settle(config: Config, answers: dict[str, str]) -> list[str]:
    deadline, audited = time.monotonic() + SETTLE_S, 0
    while time.monotonic() < deadline:
        with contextlib.suppress(RinglineError), contextlib.closing(open_reader(config)) as audit:
            audited = audit.head().seq
            if audited >= len(answers):
                return []
        time.sleep(0.1)
    return [f"{audited} of {len(answers)} audited {SETTLE_S:g} s after the last fault"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", action="store_true", help="audit in PostgreSQL, which is restarted too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ringline-chaos-run-") as folder:
        faults = chaos(Path(folder), given.kills, given.seed, lambda line: print(line, flush=True),
                       postgres=given.postgres)  # fmt: skip
    for fault in faults[:50]:
        print(f"FAILED: {fault}", flush=True)
    print("failed" if faults else "everything kept", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
