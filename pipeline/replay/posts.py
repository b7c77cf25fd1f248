"""What is posted: a key's candles in order, each with the webhook-id that makes a repeat recognisable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from pipeline.messages import CandleIn
from pipeline.replay.history import History, first
from pipeline.replay.spec import Task

_LEAST_BARS = 2000
"""A key made for a measurement needs bars to last; FB has 196."""
_encode = msgspec.json.Encoder().encode


class Post(Struct, gc=False):
    """One event to send."""

    key: str
    webhook_id: str
    body: bytes


def webhook_id(run_id: str, symbol: str, time: str) -> str:
    """The same for every attempt to post one candle of one run, different for everything else."""
    return "rl_" + hashlib.sha256(f"{run_id}\0{symbol}\0{time[:10]}".encode()).hexdigest()[:32]


def keyed(history: History, keys: int) -> dict[str, tuple[CandleIn, ...]]:
    """`keys` series of real bars under names of their own, taking the long symbols in turn."""
    long = [symbol for symbol, candles in history.items() if len(candles) >= _LEAST_BARS]
    names = ((long[index % len(long)], index) for index in range(keys))
    return {f"{symbol}.{index:02d}": history[symbol] for symbol, index in names}


def plan(history: History, task: Task) -> dict[str, Sequence[CandleIn]]:
    """The candles of a task by key, in the order of their dates."""
    series = keyed(history, task.keys) if task.keys else history
    rest = {key: candles[task.first.get(key, 0) :] for key, candles in series.items()}
    return dict(first(rest, task.limit))


def lane_posts(run_id: str, planned: Mapping[str, Sequence[CandleIn]], key: str) -> Iterator[Post]:
    """The posts of one key, made one at a time: a body lives as long as its request."""
    for candle in planned[key]:
        named = candle if candle.symbol == key else msgspec.structs.replace(candle, symbol=key)
        yield Post(key, webhook_id(run_id, key, candle.time), _encode(named))
