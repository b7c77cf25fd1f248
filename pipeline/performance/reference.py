"""How fast this machine is right now: a fixed piece of work, timed among the measured calls.

It does in small what an event costs (integers, tuples, dictionary look-ups, msgpack, SHA-256), so a slower
machine, a busier neighbour or a lower clock slows both alike and falls out of their ratio.
"""

from __future__ import annotations

import hashlib
import os
import platform

import msgspec

from pipeline.performance.stopwatch import timed_ms

NAME = "events-v1"
"""Rises whenever the loop changes: times of different loops do not compare."""
LOOPS = 400

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def reference_loop() -> str:
    """The work; returns a digest so that nothing of it can be left out."""
    digest = hashlib.sha256()
    state: dict[str, tuple[int, ...]] = {}
    price = 1_000_000
    for number in range(LOOPS):
        price = (price * 1_103 + number * 12_345) % 2_000_003
        key = f"K{number % 7}"
        window = (*state.get(key, ())[-9:], price)
        state[key] = window
        body = _encode((key, number, price, window, sum(window) // len(window)))
        digest.update(body)
        digest.update(digest.digest())
        price += len(_decode(body))
    return digest.hexdigest()


def reference_ms() -> float:
    """Milliseconds that the loop takes now: the lesser of two, as the first may have been interrupted."""
    return min(timed_ms(reference_loop), timed_ms(reference_loop))


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
