"""What the job and its client process say to each other: one line of JSON each.

    job → client     one `Task` on stdin; the end of stdin means: stop sending, finish what is under way
    client → job     `Progress` about twice a second on stdout, one `Result` at the end

The client is a process of its own so that its CPU time is its own and never delays the live view.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Rate = Annotated[float, Meta(gt=0, le=1_000_000)]


class Task(Struct, frozen=True, kw_only=True):
    """What to post and how.

    With `keys` 0 the five symbols of the history are posted under their own names. Otherwise that many
    keys are made of its four long symbols (`AAPL.00`, `GOOG.01`, …), for measurements over many keys.
    `first` candles of each key are left out (an earlier task has posted them), `limit` bounds the sum over
    all keys, `duration_s` the time of sending; `rate` is events per second over all lanes, None the highest.
    """

    host: str
    port: int
    source: str
    secret: str
    """`whsec_…`; it comes through a pipe and is never an argument or a file of ours."""
    run_id: str
    limit: int | None = None
    rate: Rate | None = None
    keys: Annotated[int, Meta(ge=0, le=4096)] = 0
    first: dict[str, int] = {}
    duration_s: float | None = None
    give_up_s: float = 60.0
    """Without one accepted event for this long, the client ends with a fault."""


class Times(Struct, frozen=True, kw_only=True):
    """Milliseconds from the intended moment of sending to the 202; None where there was none."""

    count: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class Progress(Struct, frozen=True, kw_only=True, tag_field="type", tag="progress"):
    """Where the client is. `planned` is None when only time bounds it."""

    elapsed_s: float
    planned: int | None
    accepted: int
    repeated: int
    retried: int


class Result(Struct, frozen=True, kw_only=True, tag_field="type", tag="result"):
    """What came of it.

    `accepted` counts the 202s by key; as a key's events go in order, each the next after its 202, these
    are its first ones. `unconfirmed` requests were sent and never answered: they may be accepted or not.
    `repeated` were answered as already known (they had been accepted, the answer was lost), `retries` are
    counted by cause. `fault` is why it ended early, "" when all was posted.
    """

    accepted: dict[str, int]
    unconfirmed: int
    repeated: int
    retries: dict[str, int]
    elapsed_s: float
    cpu_s: float
    first_sent_ns: int
    """CLOCK_MONOTONIC, which all processes of a machine share."""
    last_accepted_ns: int
    times: Times
    stopped: bool = False
    fault: str = ""

    @property
    def total(self) -> int:
        return sum(self.accepted.values())


_task = msgspec.json.Decoder(Task)
_report: msgspec.json.Decoder[Progress | Result] = msgspec.json.Decoder(Progress | Result)


def encode_line(message: Task | Progress | Result) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def decode_task(line: bytes) -> Task:
    """Raises msgspec.ValidationError or DecodeError."""
    return _task.decode(line)


def decode_report(line: bytes) -> Progress | Result:
    """Raises msgspec.ValidationError or DecodeError."""
    return _report.decode(line)
