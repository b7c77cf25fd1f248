"""Made-up candles for tests and benches: a random walk in integers, the same on every machine and version."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.messages import Candle

_MASK = (1 << 64) - 1
_START_US = 946_857_600_000_000
"""2000-01-03, a Monday."""
_DAY_US = 86_400_000_000
_PARTS = 10_000
"""Moves are counted in ten-thousandths of the price."""


def random_walk(
    symbol: str,
    count: int,
    seed: int,
    *,
    price: int = 1_000_000,
    spread: int = 200,
    spacing_us: int = _DAY_US,
) -> Iterator[Candle]:
    """`count` candles from `price` (scaled) on, each move within ± `spread` ten-thousandths.

    Daily ones skip the two days after every fifth, as markets do.
    """
    state = seed & _MASK
    time_us, close = _START_US, price
    for index in range(count):
        drawn = []
        for _ in range(4):
            state, number = _splitmix(state)
            drawn.append(number)
        opened = _moved(close, drawn[0] % (spread + 1) - spread // 2)
        close = _moved(opened, drawn[1] % (2 * spread + 1) - spread + 3)
        high = _moved(max(opened, close), drawn[2] % (spread // 2 + 1))
        low = _moved(min(opened, close), -(drawn[3] % (spread // 2 + 1)))
        weekend = spacing_us == _DAY_US and index % 5 == 4
        time_us += 3 * spacing_us if weekend else spacing_us
        yield Candle(symbol, time_us, opened, high, low, close, drawn[0] % 10_000_000)


def _moved(price: int, parts: int) -> int:
    return max(price + price * parts // _PARTS, 1)


def _splitmix(state: int) -> tuple[int, int]:
    """SplitMix64 (Steele, Lea, Flood 2014): (next state, 64 random bits)."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return state, mixed ^ (mixed >> 31)
