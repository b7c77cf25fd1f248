"""What one seed means: sizes, load and weather, drawn once. Two runs of a seed are the same run."""

from __future__ import annotations

from random import Random

from msgspec import Struct
from msgspec.structs import replace

from pipeline import limits
from pipeline.clock import NS_PER_MS
from pipeline.config import Config, resolve
from pipeline.config.schema import Exec, Journal, Trading
from pipeline.transport.settings import Timing

FAULTS_MS = 2_500
"""Faults happen this long; then the weather is calm and everything has to settle."""
SETTLE_MS = 20_000
"""A run that has not settled this long after the faults will not: a key that pauses is sent again within
0.2 s, a dead link is known within 0.1 s."""

IDENTITIES_BYTES = 16 * limits.KIB
"""Twice what the identities of a run take in the journal."""


class Plan(Struct, frozen=True):
    """Everything drawn from a seed but the moments of faults."""

    seed: int
    agents: int
    execs: int
    audits: int
    keys: int
    events: int
    hot: float
    """Share of the events that go to the first key."""
    batch: int
    state_every: int
    max_keys: int
    expire_after_s: int
    lost: float
    doubled: float
    late: float
    reordered: float
    fault_count: int
    timing: Timing
    config: Config
    late_keys: bool
    """Keys are first seen one after the other."""
    lull: bool
    """Nothing is sent for a while in the middle."""
    exec_versions: tuple[Exec, ...]
    """As `versions`, of the execs: with two, they fill at different prices."""
    versions: tuple[Trading, ...]
    """Configurations of the agents: with two, agents of both decide side by side, and differently."""


def draw(seed: int, *, hard: bool = False) -> Plan:
    """The plan of `seed`; `hard` asks for many faults at once."""
    dice = Random(seed)
    depth = dice.choice([1, 2, 4, 16])
    credit = max(depth * limits.KEY_SHARE, dice.choice([4, 8, 32]))
    timing = Timing(
        heartbeat_ns=25 * NS_PER_MS,
        dead_after_ns=100 * NS_PER_MS,
        ask_again_ns=30 * NS_PER_MS,
        credit=credit,
        depth=depth,
    )
    level = dice.choice([2, 4]) if hard else dice.choice([0.3, 1, 1, 2])
    return Plan(
        seed=seed,
        agents=dice.randint(1, 4),
        execs=dice.randint(1, 4),
        audits=dice.randint(1, 2),
        keys=dice.randint(1, 8),
        events=dice.randint(30, 160),
        hot=dice.choice([0.0, 0.5, 0.8]),
        batch=dice.choice([1, 4, 32]),
        state_every=dice.choice([1, 8, 64]),
        max_keys=dice.choice([3, 6, 20]),
        expire_after_s=dice.choice([0, 0, 1]),
        lost=dice.choice([0.0, 0.001, 0.01]),
        doubled=dice.choice([0.0, 0.01]),
        late=dice.choice([0.0, 0.01, 0.05]),
        reordered=dice.choice([0.0, 0.001, 0.01]),
        fault_count=int(12 * level),
        timing=timing,
        config=replace(_config(10), journal=_journal(dice)),
        exec_versions=tuple(
            Exec(slippage_bps=slippage)
            for slippage in (("0", "50") if hard or dice.random() < 0.3 else ("0",))
        ),
        late_keys=dice.random() < 0.5,
        lull=dice.random() < 0.3,
        versions=tuple(
            _config(quantity).trading for quantity in ((10, 20) if hard or dice.random() < 0.3 else (10,))
        ),
    )


def _journal(dice: Random) -> Journal:
    """A journal of which segments are freed within a run: far below the bounds of a configuration, which are
    about speed. Some forget an event a second after they accepted it."""
    retention_s = dice.choice([1, 3_600])
    segment_bytes = dice.choice([512, 512, 1_024, 4_096] if retention_s == 1 else [1_024, 2_048, 4_096])
    least_bytes = 0 if retention_s == 1 else IDENTITIES_BYTES
    return Journal(
        segment_bytes=segment_bytes,
        max_bytes=least_bytes + segment_bytes * dice.choice([8, 16]),
        retention_s=retention_s,
        keep_settled_s=0,
    )


def _config(quantity: int) -> Config:
    """Small windows, so that strategies decide and throttles refuse within a run."""
    return resolve(
        {
            "trading": {
                "strategies": {
                    "sma": {"kind": "sma_cross", "fast": 2, "slow": 4, "quantity": str(quantity)},
                    "breakout": {"kind": "breakout", "lookback": 3, "exit_lookback": 2, "quantity": "5"},
                },
                "throttles": [{"name": "week", "max_trades": 2, "window_seconds": 7 * 86_400}],
            },
        }
    )
