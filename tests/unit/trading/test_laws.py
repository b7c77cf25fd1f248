"""Laws of the whole core over arbitrary event sequences: candles in and out of order, signals, controls,
strategies that misbehave, prices and quantities up to their limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from pipeline import limits, messages
from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.messages import BUY, SELL, Candle, Control, Decision, Event, Fate, Fills, Leg, Signal, Verdict
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import ExecLogic
from pipeline.trading.exec_state import ExecState
from pipeline.trading.instruments import Instruments
from pipeline.trading.outcome import outcome
from pipeline.trading.pnl import ProfitAndLoss
from pipeline.trading.state import State
from pipeline.trading.strategies import FULL, KINDS

DAY_US = 86_400 * US_PER_S


class Moods(Struct, frozen=True, array_like=True):
    closes: tuple[int, ...] = ()


class Moody:
    """Wants anything, raises and talks nonsense, all by the close."""

    tag = "moody"
    memory = Moods
    vetted = False

    def __init__(self, section: schema.Strategy) -> None:
        pass

    def origin(self) -> Moods:
        return Moods()

    def step(self, memory: Moods, candle: Candle) -> Any:
        mood = (candle.close + len(memory.closes)) % 7
        if mood == 0:
            raise RuntimeError(str(candle))
        after = Moods((*memory.closes[-3:], candle.close))
        wishes = [None, FULL, -FULL, 0, FULL // 3, 0.5]
        return after, wishes[mood - 1]


KINDS_HERE = {**KINDS, "moody": Moody}

TRADING = schema.Trading(
    instruments={"default": schema.Instrument(price_scale=2, quantity_scale=1, tick="0.01", lot="0.1")},
    strategies={
        "sma": schema.Strategy(kind="sma_cross", fast=1, slow=2, short=True),
        "breakout": schema.Strategy(kind="breakout", lookback=2, exit_lookback=1),
        "moody": schema.Strategy(kind="moody", quantity="7"),  # type: ignore[arg-type]
    },
    throttles=(
        schema.Throttle(name="all", max_trades=2, window_seconds=4 * 86_400, cooldown_seconds=86_400),
        schema.Throttle(
            name="big",
            max_notional="100000",
            window_seconds=6 * 86_400,
            min_spacing_seconds=3600,
            multiplier="0.9",
            scope=schema.Scope(strategy_id="moody"),
        ),
        schema.Throttle(
            name="key", per="symbol", max_trades=4, window_seconds=5 * 86_400, max_notional="900000"
        ),
    ),
    max_signal_quantity="100000000000000",
)
LIMITED = msgspec.structs.replace(
    TRADING,
    risk=schema.Risk(max_position="9", max_order="5", max_daily_loss="50", price_collar_percent="40"),
)

PRICES = st.one_of(st.integers(1, 12), st.integers(1, limits.MAX_SCALED))
QUANTITIES = st.one_of(st.just(0), st.integers(1, 30), st.integers(1, limits.MAX_SCALED))


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    prices = sorted(draw(st.lists(PRICES, min_size=4, max_size=4)))
    opened, close = (prices[1], prices[2]) if draw(st.booleans()) else (prices[2], prices[1])
    volume = draw(st.integers(0, 300))
    return Candle("K", draw(st.integers(0, 40)) * DAY_US, opened, prices[3], prices[0], close, volume)


def small_candles() -> st.SearchStrategy[Candle]:
    return st.builds(
        lambda day, price, volume: Candle("K", day * DAY_US, price, price + 1, price, price, volume),
        st.integers(0, 60),
        st.integers(1, 12),
        st.integers(0, 2_000),
    )


SIGNALS = st.builds(
    Signal,
    symbol=st.just("K"),
    strategy=st.sampled_from(["sma", "moody", "alert", "other"]),
    side=st.sampled_from([BUY, SELL, 0]),
    quantity=QUANTITIES,
    price=st.one_of(st.just(0), PRICES),
)
CONTROLS = st.builds(
    Control, action=st.sampled_from(["halt", "resume", "resume", "flatten", "odd"]), reason=st.just("")
)
EVENTS = st.one_of(small_candles(), small_candles(), small_candles(), candles(), SIGNALS, SIGNALS, CONTROLS)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Event, int]]:
    """Events with accept times; most candles in order, some stale."""
    size = draw(st.integers(0, 40))
    events = draw(st.lists(EVENTS, min_size=size, max_size=size))
    found, day, at_us = [], 0, 0
    for event in events:
        at_us += draw(st.integers(0, 3)) * 3_600 * US_PER_S
        if type(event) is Candle and draw(st.integers(0, 9)) != 9:
            day += 1 + event.time_us // DAY_US % 3
            event = msgspec.structs.replace(event, time_us=day * DAY_US)
        found.append((event, at_us))
    return found


class Row(Struct, frozen=True):
    seq: int
    event: Event
    at_us: int
    decision: Decision
    fills: Fills
    agent: State
    exec: ExecState


def logics(trading: schema.Trading, policy: Any) -> tuple[AgentLogic, ExecLogic]:
    """`partial` is next_open with a limit on a candle's volume."""
    share = "12.5" if policy == "partial" else "0"
    execs = schema.Exec(
        fill_policy="next_open" if policy == "partial" else policy,
        slippage_bps="9999.5",
        commission_bps="10000",
        volume_limit_percent=share,
    )
    agent = AgentLogic(trading, execs.fill_policy, KINDS_HERE, partial_fills=policy == "partial")
    return agent, ExecLogic(trading, execs)


def run(history: list[tuple[Event, int]], policy: Any, trading: schema.Trading = TRADING) -> Iterator[Row]:
    agent, floor = logics(trading, policy)
    a, x = agent.origin("K"), floor.origin("K")
    for seq, (event, at_us) in enumerate(history, 1):
        a_next, decision = agent.step(a, event, key_seq=seq, at_us=at_us)
        x_next, fills = floor.step(x, event, decision, key_seq=seq)
        assert agent.apply(a, event, decision, key_seq=seq, at_us=at_us) == a_next
        assert floor.apply(x, event, decision, fills, key_seq=seq) == x_next
        a, x = a_next, x_next
        yield Row(seq, event, at_us, decision, fills, a, x)


def whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from whole_numbers(item)


POLICIES = pytest.mark.parametrize("policy", ["next_open", "signal_price", "worst_of_bar", "partial"])
LAW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@POLICIES
@LAW
@given(histories())
def test_intended_and_filled_positions_differ_by_what_rests_only(
    policy: Any, history: list[tuple[Event, int]]
) -> None:
    filled: dict[str, int] = defaultdict(int)
    for row in run(history, policy):
        for fill in row.fills.fills:
            filled[fill.strategy] += fill.side * fill.quantity
            assert fill.position == filled[fill.strategy]
        resting: dict[str, int] = defaultdict(int)
        for order in row.exec.orders:
            resting[order.strategy] += order.side * order.quantity
        intended = {slot.name: slot.position for slot in row.agent.slots}
        for name in {*filled, *resting, *intended}:
            assert intended.get(name, 0) == filled[name] + resting[name]
            assert row.exec.filled(name) == filled[name]


@POLICIES
@LAW
@given(histories())
def test_every_state_survives_its_bytes_and_goes_on_the_same(
    policy: Any, history: list[tuple[Event, int]]
) -> None:
    agent, floor = logics(TRADING, policy)
    previous = agent.origin("K")
    for row in run(history, policy):
        data = agent.encode(row.agent)
        assert agent.decode(data) == row.agent
        assert agent.encode(agent.decode(data)) == data
        assert floor.decode(floor.encode(row.exec)) == row.exec
        again = agent.decode(agent.encode(previous))
        assert agent.step(again, row.event, key_seq=row.seq, at_us=row.at_us) == (row.agent, row.decision)
        previous = row.agent


@POLICIES
@LAW
@given(histories())
def test_no_number_ever_leaves_64_bits(policy: Any, history: list[tuple[Event, int]]) -> None:
    agent, _ = logics(TRADING, policy)
    for row in (*run(history, policy), *run(history, policy, LIMITED)):
        for message in (row.decision, row.fills, msgspec.Raw(agent.encode(row.agent)), row.exec):
            plain = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
            assert all(-(2**63) <= number < 2**63 for number in whole_numbers(plain))
        assert messages.decode_decision(messages.encode(row.decision)) == row.decision
        assert messages.decode_fills(messages.encode(row.fills)) == row.fills


@st.composite
def edges(draw: st.DrawFn) -> list[tuple[Event, int]]:
    """Positions as large as is allowed at prices that make the most of it."""
    found: list[tuple[Event, int]] = []
    for day in range(1, draw(st.integers(2, 12))):
        price = draw(st.sampled_from([1, 2, 10**6, 10**9, 10**12, limits.MAX_SCALED]))
        parts = draw(st.sampled_from([1, 2, 3, 10]))
        quantity = max(min(limits.MAX_EXPOSURE // price // parts, limits.MAX_SCALED), 1)
        side = draw(st.sampled_from([BUY, SELL, 0]))
        found.append((Signal("K", draw(st.sampled_from(["x", "y"])), side, quantity, price), 0))
        found.append((Candle("K", day * DAY_US, price, price, 1, draw(st.integers(1, price)), 0), 0))
    return found


@POLICIES
@LAW
@given(edges())
def test_at_the_edge_of_what_can_be_counted_every_fill_still_fits(
    policy: Any, history: list[tuple[Event, int]]
) -> None:
    unlimited = msgspec.structs.replace(TRADING, throttles=())
    agent, _ = logics(unlimited, policy)
    for row in run(history, policy, unlimited):
        for message in (row.decision, row.fills, msgspec.Raw(agent.encode(row.agent)), row.exec):
            plain = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
            assert all(-(2**63) <= number < 2**63 for number in whole_numbers(plain))


@POLICIES
@LAW
@given(histories())
def test_entries_pass_neither_a_halt_nor_a_full_window(policy: Any, history: list[tuple[Event, int]]) -> None:
    entries: dict[str, list[int]] = defaultdict(list)
    halted = False
    for row in run(history, policy):
        for leg in row.decision.legs:
            if leg.verdict != Verdict.ORDERED:
                assert leg.verdict == Verdict.HELD or leg.reasons
                continue
            assert leg.quantity > 0
            assert leg.price > 0
            assert not leg.reasons
            if leg.intent == "entry":
                assert not halted
                entries[leg.strategy].append(row.agent.clock_us)
        if type(row.event) is Control and not row.decision.rejected:
            halted = row.event.action != "resume"
    for times in entries.values():
        for at_us in times:
            assert sum(at_us - 4 * DAY_US < time_us <= at_us for time_us in times) <= 2


@POLICIES
@LAW
@given(histories())
def test_exits_are_denied_only_where_they_could_not_be_counted(
    policy: Any, history: list[tuple[Event, int]]
) -> None:
    for row in run(history, policy):
        for leg in row.decision.legs:
            if leg.intent == "exit" and leg.verdict == Verdict.DENIED:
                assert [reason.split(":")[0] for reason in leg.reasons] == ["RISK_MAX_NOTIONAL"]
                assert type(row.event) is Signal


@POLICIES
@LAW
@given(histories())
def test_profit_is_the_cash_of_all_fills_and_the_open_position(
    policy: Any, history: list[tuple[Event, int]]
) -> None:
    instruments = Instruments(TRADING)
    ledger, cash, close = ProfitAndLoss(instruments), defaultdict[str, int](int), 0
    positions: dict[str, int] = {}
    for row in run(history, policy):
        ledger.add("K", row.event, row.fills, rejected=bool(row.decision.rejected))
        if type(row.event) is Candle and not row.decision.rejected:
            close = row.event.close
        for fill in row.fills.fills:
            cash[fill.strategy] -= fill.side * fill.quantity * fill.price + fill.commission
            positions[fill.strategy] = fill.position
    lines = {line.strategy: line for line in ledger.lines()}
    assert sorted(lines) == sorted(positions)
    for name, position in positions.items():
        if close or not position:
            expected = cash[name] + position * close
            assert lines[name].net == instruments.of("K").money_text(expected)


@POLICIES
@LAW
@given(histories())
def test_every_row_has_the_outcome_its_record_shows(policy: Any, history: list[tuple[Event, int]]) -> None:
    for row in run(history, policy):
        ended = outcome(Fate.LIVE, row.decision, row.fills)
        verdicts = {leg.verdict for leg in row.decision.legs}
        assert (ended == "filled") == bool(row.fills.fills)
        if ended == "placed":
            assert row.exec.orders
        if ended == "held":
            assert not verdicts & {Verdict.DENIED, Verdict.FAILED}


@LAW
@given(histories())
def test_the_order_of_the_configuration_decides_nothing(history: list[tuple[Event, int]]) -> None:
    turned = msgspec.structs.replace(TRADING, strategies=dict(reversed(TRADING.strategies.items())))
    first = [(row.decision, row.fills) for row in run(history, "next_open")]
    assert first == [(row.decision, row.fills) for row in run(history, "next_open", turned)]


@LAW
@given(histories())
def test_under_a_volume_limit_no_candle_fills_more_than_its_share(history: list[tuple[Event, int]]) -> None:
    for row in run(history, "partial"):
        filled = sum(fill.quantity for fill in row.fills.fills)
        share = row.event.volume // 8 if type(row.event) is Candle else 0
        assert filled <= share
        sides = {(order.strategy, order.side) for order in row.exec.orders}
        assert len(sides) == len({name for name, _ in sides}), "orders of one strategy rest on one side"


@POLICIES
@LAW
@given(histories())
def test_no_entry_passes_a_risk_limit(policy: Any, history: list[tuple[Event, int]]) -> None:
    close = 0
    for row in run(history, policy, LIMITED):
        for leg in row.decision.legs:
            if leg.verdict == Verdict.ORDERED and leg.intent == "entry":
                assert leg.quantity <= 50
                assert not close or abs(leg.price - close) * 10 <= close * 4
        if type(row.event) is not Control:
            for slot in row.agent.slots:
                assert abs(slot.position) <= 90
        if type(row.event) is Candle and not row.decision.rejected:
            close = row.event.close


def test_a_leg_that_is_held_says_nothing_more() -> None:
    assert Leg("s", Verdict.HELD) == Leg("s", 0, 0, 0, 0, (), 0, "")
