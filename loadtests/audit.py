"""The audit beside what was sent: read by the product's own commands, `audit query` and `audit verify`, or
by its HTTP interface where its files are not."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from loadtests import limits
from loadtests.facts import Audited
from loadtests.http_audit import NOT_VERIFIED, HttpAudit
from loadtests.ids import parse, webhook_id
from loadtests.ledger import SUFFIX, Ids, Sent, read_ledgers
from loadtests.pipeline_child import command
from loadtests.row_said import RowSaid
from loadtests.task import Task
from pipeline.errors import MissingError

_row = msgspec.json.Decoder(RowSaid)


def audit_end(task: Task) -> int:
    """The number of the last row there is; 0 for none. Raises MissingError when the audit cannot be read."""
    if not task.data_dir:
        return HttpAudit(task).end()
    lines = _query(task, ("--newest", "--limit", "1"))
    return _row.decode(lines[0]).seq if lines else 0


def rows_after(task: Task, after: int) -> Iterator[RowSaid]:
    """Every row after that one. Raises MissingError when the audit cannot be read."""
    if not task.data_dir:
        yield from HttpAudit(task).rows_after(after)
        return
    while lines := _query(task, ("--after", str(after), "--limit", str(limits.AUDIT_PAGE_ROWS))):
        for line in lines:
            row = _row.decode(line)
            after = row.seq
            yield row


def check_audit(task: Task, after: int, journalled: int | None) -> Audited:
    """Compares the rows after `after` with the ledgers in the task's folder. Raises MissingError."""
    sent = read_ledgers(sorted(Path(task.folder).glob(f"*{SUFFIX}")))
    verified = verify(task) if task.data_dir else {"ok": None, "detail": NOT_VERIFIED}
    found = compare(rows_after(task, after), sent, task.run)
    return msgspec.structs.replace(
        found,
        verifies=None if verified.get("ok", False) is None else bool(verified.get("ok")),
        detail=str(verified.get("detail") or ""),
        journalled=journalled,
    )


def compare(rows: Iterable[RowSaid], sent: Sent, run: str) -> Audited:
    """Pure. The rows of this run against what was sent; foreign rows are counted only."""
    numbers = array("Q")
    fills: Counter[tuple[str, int, int, str, str]] = Counter()
    outcomes: Counter[str] = Counter()
    denied = foreign = all_events = 0
    for row in rows:
        all_events += 1
        number = parse(row.webhook_id, run)
        if number is None:
            foreign += 1
            continue
        numbers.append(number)
        outcomes[row.outcome] += 1
        denied += sum(leg.verdict == "denied" for leg in row.legs)
        for fill in row.fills:
            if fill.order_seq == row.key_seq:  # of this very event: an order that rested fills in parts
                fills[(row.key, fill.order_seq, fill.order_leg, fill.strategy, fill.quantity)] += 1
    audited, times = np.unique(np.frombuffer(numbers, dtype=np.uint64), return_counts=True)
    lost = np.setdiff1d(sent.accepted, audited, assume_unique=True)
    unsent = np.setdiff1d(audited, sent.sent, assume_unique=True)
    twice = audited[times > 1]
    return Audited(
        rows=len(numbers),
        sent=len(sent.sent),
        accepted=len(sent.accepted),
        repeated=len(sent.repeated),
        lost=len(lost),
        twice=len(twice) + sum(count > 1 for count in fills.values()),
        unsent=len(unsent),
        verifies=False,
        examples=tuple(_examples(run, lost, twice, unsent)),
        denied=denied,
        unanswered=sent.unanswered,
        outcomes=dict(outcomes),
        all_rows=all_events,
    )


def verify(task: Task) -> dict[str, Any]:
    """What `ringline audit verify --json` says. Raises MissingError when it does not."""
    done = command(task, ("audit", "verify", "--json"), limits.AUDIT_MOST_S)
    try:
        said = json.loads(done.stdout)
    except ValueError:
        raise MissingError(_words(done.stderr) or "`ringline audit verify` said nothing") from None
    return said if isinstance(said, dict) else {}


def _query(task: Task, words: tuple[str, ...]) -> list[bytes]:
    done = command(task, ("audit", "query", "--json", *words), limits.AUDIT_MOST_S)
    if done.returncode:
        raise MissingError(_words(done.stderr) or f"`ringline audit query` ended with {done.returncode}")
    return done.stdout.splitlines()


def _examples(run: str, *groups: Ids) -> Iterator[str]:
    for number in [int(number) for group in groups for number in group[: limits.MAX_BAD_IDS]][
        : limits.MAX_BAD_IDS
    ]:
        yield webhook_id(run, number)


def _words(text: bytes) -> str:
    return " / ".join(text.decode(errors="replace").split("\n")).strip(" /")[:300]
