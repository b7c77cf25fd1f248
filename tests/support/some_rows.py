"""Rows as a pipeline would audit them, made without one."""

from __future__ import annotations

from pipeline.delivery import ORIGIN, Delivery, agent_digest, exec_digest
from pipeline.messages import CONTROL_TAG

KEYS = ("A", "B", "C")
ROWS = 30
OUTCOMES = ("filled", "held", "rejected")


def some_rows(run: str = "1", delay_us: int = 0, controls: frozenset[int] = frozenset()) -> list[Delivery]:
    """The events of numbers `controls` are tagged as control events."""
    rows: list[Delivery] = []
    digests = dict.fromkeys(KEYS, (ORIGIN, ORIGIN))
    for number in range(ROWS):
        key, key_seq = KEYS[number % 3], number // 3 + 1
        a_prev, x_prev = digests[key]
        payload = f"event {number}".encode()
        if number in controls:
            payload = b"\x92" + CONTROL_TAG + payload
        a = agent_digest(a_prev, key_seq, 0, payload, b"decision")
        x = exec_digest(x_prev, key_seq, a, b"fills")
        digests[key] = (a, x)
        event_id = f"{run}-{number}".encode().ljust(16, b"\0")
        rows.append(
            Delivery(
                key, key_seq, event_id, "s", f"w{run}-{number}", 1000 + number + delay_us, 0, payload, "v",
                b"decision", a_prev, a, b"", b"fills", x_prev, x, b"", OUTCOMES[number % 2],
            )
        )  # fmt: skip
    return rows


def lone_row(key: str, key_seq: int = 1, a_prev: bytes = ORIGIN, x_prev: bytes = ORIGIN) -> Delivery:
    a = agent_digest(a_prev, key_seq, 0, b"payload", b"decision")
    x = exec_digest(x_prev, key_seq, a, b"fills")
    event_id = f"{key}/{key_seq}".encode().ljust(16, b"\0")
    return Delivery(
        key, key_seq, event_id, "s", f"w{key}", 1, 0, b"payload", "v", b"decision", a_prev, a, b"",
        b"fills", x_prev, x, b"", "held",
    )  # fmt: skip


def state_rows(count: int, state_every: int = 4) -> list[Delivery]:
    """Of the KEYS in turn, a microsecond apart, with states in every `state_every`-th row of a key."""
    rows: list[Delivery] = []
    for number in range(count):
        key, key_seq = KEYS[number % 3], number // 3 + 1
        before = (rows[number - 3].a, rows[number - 3].x) if key_seq > 1 else ()
        row = lone_row(key, key_seq, *before)
        row.accepted_us = 1000 + number
        if key_seq % state_every == 0:
            row.agent_state = row.exec_state = f"state {number}".encode()
        rows.append(row)
    return rows
