"""What must hold of the audit after chaos, whatever was done to the pipeline meanwhile."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from chaos_load import Taken

from pipeline.config import Config
from pipeline.delivery import ORIGIN, Delivery, agent_digest, exec_digest
from pipeline.limits import MAX_QUERY_ROWS
from pipeline.messages import Action, Control, Fate, Verdict, decode_decision, decode_event, encode
from pipeline.run_digest import RunDigest
from pipeline.stages.gateway.parse import Parser
from pipeline.storage.audit.engines import open_reader
from pipeline.storage.audit.reader import AuditReader
from pipeline.trading.cores import agent_logic
from pipeline.trading.exec import ExecLogic
from pipeline.trading.instruments import Instruments
from pipeline.trading.scopes import RecordedScopes

WIDE = "all"
WIDE_TRADES, WIDE_WINDOW_S = 40, 5
"""The throttle that counts over all symbols, where there is a Redis to count it."""

Rows = Mapping[str, Sequence[Delivery]]
"""Of each key, in the order of the chain."""


def check(config: Config, file: Path, taken: Mapping[str, Taken]) -> list[str]:
    """What is wrong with the audit; empty when all is well. `file`: the configuration as a file."""
    with contextlib.closing(open_reader(config)) as audit:
        rows: dict[str, list[Delivery]] = {}
        for row in every_row(audit):
            rows.setdefault(row.key, []).append(row)
        digest = audit.run_digest()
    faults = _once(rows, taken) + _controls(rows)
    for key, of_key in rows.items():
        faults += _order(key, [taken[row.webhook_id] for row in of_key if row.webhook_id in taken])
        faults += _sequence(key, of_key)
    faults += _wide(rows)
    if not faults:
        found, forks = undisturbed(config, rows, taken)
        faults += forks
        if found != digest:
            faults.append("the digest is not that of the undisturbed run")
    return faults + _verified(file)


def every_row(audit: AuditReader, after: int = 0) -> Iterator[Delivery]:
    """All rows behind row `after`, in the order of the chain."""
    while page := audit.rows(after=after, limit=MAX_QUERY_ROWS):
        yield from (row.delivery for row in page)
        after = page[-1].seq


def _verified(file: Path) -> list[str]:
    """The command's word on the chain, against the last signed checkpoint."""
    command = (
        sys.executable,
        "-m",
        "pipeline",
        "audit",
        "verify",
        "--checkpoint",
        "latest",
        "--config",
        file,
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [f"audit verify: {done.stdout} {done.stderr}"] if done.returncode else []


def _once(rows: Rows, taken: Mapping[str, Taken]) -> list[str]:
    """What was answered 202 is audited, all of it and nothing else, once a key."""
    names = {one.event_id: name for name, one in taken.items()}
    counted = Counter((key, row.event_id.hex()) for key, of_key in rows.items() for row in of_key)
    faults = [
        f"{names.get(one, one)} is audited {n} times in {key}" for (key, one), n in counted.items() if n > 1
    ]
    audited = {event_id for _, event_id in counted}
    first_s = min((one.answered_s for one in taken.values() if one.symbol), default=0.0)
    faults += [
        f"{name} was answered 202 and is not audited"
        for name, one in taken.items()
        # A control before the first event has no key to be a row of.
        if one.event_id not in audited and (one.symbol or one.sent_s > first_s)
    ]
    faults += [f"{one} is audited and was never answered 202" for one in audited - names.keys()]
    return faults


def _sequence(key: str, of_key: Sequence[Delivery]) -> list[str]:
    faults = []
    if [row.key_seq for row in of_key] != list(range(1, len(of_key) + 1)):
        faults.append(f"{key} has a gap")
    faults += [
        f"{row.webhook_id} has ended as {Fate(row.fate).name}" for row in of_key if row.fate != Fate.LIVE
    ]
    return faults


def _order(key: str, of_key: Sequence[Taken]) -> list[str]:
    """Nothing stands behind what was only sent after its answer had come."""
    earliest_end_s = float("inf")
    for one in reversed(of_key):
        if earliest_end_s < one.sent_s:
            return [f"{key}: {one.event_id} stands before an event that was answered before it was sent"]
        earliest_end_s = min(earliest_end_s, one.answered_s)
    return []


def _controls(rows: Rows) -> list[str]:
    """Every key has every control since it was first seen, and enters nothing between a halt and a resume."""
    when = {row.event_id: row.accepted_us for of_key in rows.values() for row in of_key if _control(row)}
    order = sorted(when, key=when.__getitem__)
    faults = []
    for key, of_key in rows.items():
        own = [row.event_id for row in of_key if _control(row)]
        missed = order[: len(order) - len(own)]
        if own != order[len(missed) :] or (missed and when[missed[-1]] > of_key[0].accepted_us):
            faults.append(f"{key} has not every control since it was first seen, in their order")
        halted = False
        for row in of_key:
            control = _control(row)
            if control is not None:
                halted = control.action != Action.RESUME
            elif halted and _entries(row):
                faults.append(f"{row.webhook_id} entered after a halt")
    return faults


def _control(row: Delivery) -> Control | None:
    event = decode_event(row.payload)
    return event if isinstance(event, Control) else None


def _entries(row: Delivery) -> int:
    legs = decode_decision(row.decision).legs if row.live else ()
    return sum(leg.verdict == Verdict.ORDERED and leg.intent == "entry" for leg in legs)


def _wide(rows: Rows) -> list[str]:
    """Where entries were counted over all keys, no more than the windows of the whole run allow together."""
    asked = [
        row for of_key in rows.values() for row in of_key if row.live and decode_decision(row.decision).inputs
    ]
    if not asked:
        return []
    times_us = [row.accepted_us for row in asked]
    windows = -(-(max(times_us) - min(times_us)) // (WIDE_WINDOW_S * 1_000_000)) + 1
    entered = sum(map(_entries, asked))
    most = WIDE_TRADES * windows
    return [f"{entered} entries in {windows} windows of {WIDE_TRADES}"] if entered > most else []


def undisturbed(config: Config, rows: Rows, taken: Mapping[str, Taken]) -> tuple[str, list[str]]:
    """The digest of the same events in the journal's order, in one process without any faults; and where
    what is recorded is not what comes out. Answers of a scope store are inputs: those that were recorded."""
    digest, faults = RunDigest(), []
    for key in sorted(rows):
        digest.key(key)
        scopes = RecordedScopes()
        for row in rows[key]:
            scopes.add(key, row.key_seq, decode_decision(row.decision).inputs)
        agent, execs = (
            agent_logic(config.trading, config.exec, scopes),
            ExecLogic(config.trading, config.exec),
        )
        state, held = agent.origin(key), execs.origin(key)
        parse = Parser(Instruments(config.trading)).parse
        a = x = ORIGIN
        for row in rows[key]:
            payload = parse(taken[row.webhook_id].body).payload
            event = decode_event(payload)
            state, decision = agent.step(state, event, key_seq=row.key_seq, at_us=row.accepted_us)
            held, filled = execs.step(held, event, decision, key_seq=row.key_seq)
            decided, fills = encode(decision), encode(filled)
            a = agent_digest(a, row.key_seq, row.fate, payload, decided)
            x = exec_digest(x, row.key_seq, a, fills)
            digest.row(row.key_seq, payload, decided, fills)
            if (row.payload, row.decision, row.fills, row.a, row.x) != (payload, decided, fills, a, x):
                faults.append(f"{row.webhook_id} in {key} is not the step of what stands before it")
                break
    return digest.hexdigest(), faults
