"""The whole pipeline under load while its processes are killed and paused, its supervisor killed and started
again, its disk filled, PostgreSQL and Redis restarted, its audit held down, and its journal damaged.

    python tests/support/chaos.py --kills 1000 --seed 1 [--postgres] [--redis] [--longest-outage-s 120]

posts candles, signals, controls and batches (`chaos_load`), each until it is answered 202, and afterwards
checks (`chaos_check`): what was answered 202 is audited exactly once a key, events of a key that did not
overlap are in their order, key_seq has no gap, the chain verifies, every row is the step of the one before
and the digest that of the same events in the journal's order in one process without any faults; the journal
holds as many as the audit; no process outlives its supervisor. A damaged journal (`chaos_damage`) gives all
that was synced back, or is refused in clear words. Prints a line for each fault; at a failure the whole story
is what was printed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from chaos_check import WIDE, WIDE_TRADES, WIDE_WINDOW_S, check, every_row
from chaos_damage import LONG, SHORT, damage
from chaos_load import CONTROLS, SOURCES, Load, Taken
from chaos_storm import Say, Storm, Targets
from chaos_up import Up
from real_pipeline import make_config
from servers import running_postgres, running_redis

from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.errors import RinglineError
from pipeline.limits import MIB
from pipeline.storage.audit.engines import open_reader
from pipeline.storage.journal import Journal

DISK_BYTES, LONG_DISK_BYTES = 96 * MIB, 320 * MIB
LONG_KILLS = 100
"""From here on a run is long: its load is slower, so that its audit fits the small disk, which is larger."""
PAUSE_S, LONG_PAUSE_S = 0.06, 0.3
SETTLE_S = 120.0
LONGEST_OUTAGE_S = 120.0


class Options(NamedTuple):
    kills: int
    seed: int
    postgres: bool = False
    redis: bool = False
    longest_outage_s: float = LONGEST_OUTAGE_S

    @property
    def long(self) -> bool:
        return self.kills >= LONG_KILLS


def chaos(folder: Path, options: Options, say: Say) -> list[str]:
    """One run; what went wrong, empty when nothing did."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(LONG_DISK_BYTES if options.long else DISK_BYTES))
        postgres = stack.enter_context(running_postgres()) if options.postgres else None
        redis = stack.enter_context(running_redis(durable=True)) if options.redis else None
        config = _config(folder, disk, postgres.dsn if postgres else "", redis.url if redis else "")
        say(f"{options}; {'a small disk' if disk else 'no small disk: not root'}")
        started_s = time.monotonic()
        with Up(config, folder) as up:
            with Load(config, options.seed, LONG_PAUSE_S if options.long else PAUSE_S) as load:
                storm = Storm(Targets(up, disk, postgres, redis), options.seed, options.longest_outage_s, say)
                storm.run(options.kills, load)
                say(f"calm after {time.monotonic() - started_s:.0f} s: {len(load.taken)} events taken so far")
            faults = load.failures + up.faults
            faults = faults or _settle(config, load.taken)
        faults += [one for one in up.faults if one not in faults]
        faults = faults or check(config, up.file, load.taken) + _journal(config)
        if not faults:
            journal = Path(config.data_dir) / "journal"
            sample = LONG if options.long else SHORT
            found = damage(journal, config.journal, _identities(load.taken), options.seed, sample)
            faults = found.faults
            say(f"{found.tried} damaged journals: {found.refused} refused, the others held everything")
        say(f"{len(load.taken)} events taken of {dict(load.kinds)}, {load.repeats} sent again in vain, "
            f"{dict(load.refusals)} refused and repeated; faults made: {dict(storm.faults)}; "
            f"{time.monotonic() - started_s:.0f} s")  # fmt: skip
        if faults:
            say(f"`ringline up`: {up.said()}")
        return faults


def _config(folder: Path, disk: Path | None, dsn: str, redis_url: str) -> Config:
    secret = {"secret_files": [str(folder / "demo.whsec")]}
    changes: dict[str, Any] = {
        "journal": {"max_bytes": 8 * MIB, "segment_bytes": MIB // 4, "keep_settled_s": 0},  # so it compacts
        "gateway": {"max_candle_ahead_s": 4_102_444_800},  # a long run comes to years ahead of us
        "agent": {"workers": 2},
        "exec": {"workers": 2},
        "audit": {"checkpoint_every_s": 2},
        "supervisor": {"restarts": 10_000, "restart_window_s": 60, "drain_s": 5},
        "space": {"floor_bytes": 0, "warn_bytes": 0},
        "sources": dict.fromkeys((*SOURCES, CONTROLS), secret),
        "trading": {"strategies": {"sma": {"kind": "sma_cross", "fast": 2, "slow": 4, "quantity": "3"}},
                    "throttles": [{"name": "one", "max_trades": 30, "window_seconds": 3600}]},
    }  # fmt: skip
    if dsn:
        (folder / "dsn").write_text(dsn)
        changes["audit"] |= {"engine": "postgres", "workers": 2, "dsn_file": str(folder / "dsn")}
    if redis_url:
        (folder / "scopes").write_text(redis_url)
        changes["agent"] |= {"scopes": "redis", "scopes_url_file": str(folder / "scopes")}
        wide = {"name": WIDE, "per": "global", "max_trades": WIDE_TRADES, "window_seconds": WIDE_WINDOW_S}
        changes["trading"]["throttles"] = [wide]
    if disk is not None:
        changes["data_dir"] = str(disk / "data")
    return make_config(folder, **changes)


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[Path | None]:
    """A file system of `size` bytes of its own; None where that is not allowed."""
    with tempfile.TemporaryDirectory(prefix="ringline-chaos-") as name:
        mounted = os.geteuid() == 0 and not subprocess.call(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "ringline-chaos", name],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Path(name) if mounted else None
        finally:
            if mounted:
                subprocess.call(["umount", "-l", name])


def _settle(config: Config, taken: Mapping[str, Taken]) -> list[str]:
    """Waits until the audit has every event that was taken."""
    deadline, missing = time.monotonic() + SETTLE_S, {one.event_id for one in taken.values() if one.symbol}
    seen = 0
    while time.monotonic() < deadline:
        with contextlib.suppress(RinglineError), contextlib.closing(open_reader(config)) as audit:
            head = audit.head().seq
            if head > seen:
                missing -= {row.event_id.hex() for row in every_row(audit, after=seen)}
                seen = head
        if not missing:
            return []
        time.sleep(0.2)
    return [f"{len(missing)} of {len(taken)} not audited {SETTLE_S:g} s after the last fault"]


def _journal(config: Config) -> list[str]:
    """The journal has given every key as many numbers as the audit has rows, and all of them are settled."""
    with contextlib.closing(open_reader(config)) as audit:
        audited = {row.key: row.key_seq for row in every_row(audit)}
    journal = Journal.open(Path(config.data_dir) / "journal", config.journal, SystemClock())
    with contextlib.closing(journal):
        given = {key: journal.last(key) for key in audited}
        unsettled = journal.depth
    faults = [f"{unsettled} events are left unsettled in the journal"] if unsettled else []
    return faults + [
        f"{key}: {audited[key]} rows, and the journal's (given, settled) is {numbers}"
        for key, numbers in given.items()
        if numbers != (audited[key], audited[key])
    ]


def _identities(taken: Mapping[str, Taken]) -> list[tuple[str, str]]:
    """What a damaged journal is asked for: the latest events and some of all, by both sources."""
    names = [*list(taken)[-100:], *sorted(taken)[:: max(1, len(taken) // 100)]]
    return [(source, name) for name in names for source in SOURCES]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", action="store_true", help="audit in PostgreSQL, which is restarted too")
    parser.add_argument(
        "--redis", action="store_true", help="a throttle over all symbols in Redis, restarted too"
    )
    parser.add_argument("--longest-outage-s", type=float, default=LONGEST_OUTAGE_S, help="of the audit")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ringline-chaos-run-") as folder:
        faults = chaos(Path(folder), Options(**vars(given)), lambda line: print(line, flush=True))
    for fault in faults[:50]:
        print(f"FAILED: {fault}", flush=True)
    print("failed" if faults else "everything kept", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
