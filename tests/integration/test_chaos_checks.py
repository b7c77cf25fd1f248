"""What chaos checks afterwards can fail: each fault is planted into a good run and named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from chaos_check import Rows, _controls, _once, _order, _sequence, undisturbed
from chaos_load import Taken
from link_fuzz import CONFIG, real_steps

from pipeline.delivery import Delivery, decode_delivery, encode_delivery
from pipeline.messages import Fate
from pipeline.stages.gateway.parse import Parser
from pipeline.trading.instruments import Instruments

BUY = b'{"type":"signal","symbol":"A","side":"buy","quantity":"%d","price":"10"}'
HALT = b'{"type":"control","action":"halt","reason":"chaos"}'
BODIES = [("one", BUY % 1), ("two", BUY % 2), ("stop", HALT), ("three", BUY % 3)]


class Run:
    """One key's rows as the product makes them, and what its senders were told."""

    def __init__(self) -> None:
        agent, execs = real_steps("agent"), real_steps("exec")
        parse = Parser(Instruments(CONFIG.trading)).parse
        state, held = agent.origin("A"), execs.origin("A")
        self.rows: list[Delivery] = []
        self.taken: dict[str, Taken] = {}
        for number, (name, body) in enumerate(BODIES, 1):
            event_id = bytes([number]) * 16
            payload = parse(body).payload
            row = Delivery("A", number, event_id, "demo", name, number * 1000, int(Fate.LIVE), payload)
            state, held = agent.step(state, row), execs.step(held, row)
            self.rows.append(row)
            symbol = "" if body == HALT else "A"
            self.taken[name] = Taken(event_id.hex(), symbol, body, number * 2.0, number * 2.0 + 1)

    def faults(self) -> str:
        rows: Rows = {"A": self.rows}
        named = [self.taken[row.webhook_id] for row in self.rows if row.webhook_id in self.taken]
        found = _once(rows, self.taken) + _order("A", named) + _sequence("A", self.rows) + _controls(rows)
        if all(row.webhook_id in self.taken for row in self.rows):
            found += undisturbed(CONFIG, rows, self.taken)[1]
        return "; ".join(found)


def lose(run: Run) -> None:
    del run.rows[-1]


def double(run: Run) -> None:
    run.rows.append(decode_delivery(encode_delivery(run.rows[0])))


def invent(run: Run) -> None:
    del run.taken["three"]


def swap(run: Run) -> None:
    run.rows[0], run.rows[1] = run.rows[1], run.rows[0]


def give_up(run: Run) -> None:
    run.rows[1].fate = int(Fate.DEAD_LETTERED)


def decide_otherwise(run: Run) -> None:
    run.rows[1].decision = run.rows[0].decision


def fill_otherwise(run: Run) -> None:
    run.rows[1].fills = b""


def change_the_body(run: Run) -> None:
    run.taken["two"] = run.taken["two"]._replace(body=BUY % 9)


def enter_after_the_halt(run: Run) -> None:
    run.rows[3].decision = run.rows[0].decision


def test_a_good_run_has_no_faults() -> None:
    assert Run().faults() == ""


@pytest.mark.parametrize(
    ("plant", "named"),
    [
        (lose, "three was answered 202 and is not audited"),
        (double, "one is audited 2 times in A"),
        (invent, "is audited and was never answered 202"),
        (swap, "stands before an event that was answered before it was sent"),
        (swap, "A has a gap"),
        (give_up, "two has ended as DEAD_LETTERED"),
        (decide_otherwise, "two in A is not the step of what stands before it"),
        (fill_otherwise, "two in A is not the step of what stands before it"),
        (change_the_body, "two in A is not the step of what stands before it"),
        (enter_after_the_halt, "three entered after a halt"),
    ],
)
def test_each_fault_is_named(plant: Callable[[Run], None], named: str) -> None:
    run = Run()
    plant(run)
    assert named in run.faults()


def test_a_control_that_a_key_lacks_is_named() -> None:
    run = Run()
    other = Run().rows
    for row in other:
        row.key = "B"
    assert "B has not every control" in "; ".join(_controls({"A": run.rows, "B": [other[0], other[1]]}))
