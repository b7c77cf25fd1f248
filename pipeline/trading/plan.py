"""The configuration as one symbol sees it: its strategies, sizes and throttles, compiled once.

Symbols that the configuration nowhere names share one plan, so a plan costs nothing however many keys
there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipeline import limits
from pipeline.config import schema
from pipeline.errors import ConfigError
from pipeline.messages import Decision, Leg, Verdict
from pipeline.trading.decimals import configured, fraction
from pipeline.trading.instruments import Instrument, Instruments
from pipeline.trading.risk import compile_limits
from pipeline.trading.scopes import LastSeen, Scope
from pipeline.trading.state import Slot, State
from pipeline.trading.strategies import ENSEMBLE, FULL, Ensemble, Factory, Strategy
from pipeline.trading.throttle import Rule, compile_rule, origin


class Seat:
    """A configured strategy in one plan. `quantity` (scaled) is what an intent of `FULL` means; `rules` are
    of throttles that count it alone, `key_rules` of those that count it with all others of the symbol."""

    __slots__ = ("_lot", "held", "key_rules", "name", "quantity", "rules", "strategy")

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        quantity: int,
        instrument: Instrument,
        rules: tuple[Rule, ...],
        key_rules: tuple[Rule, ...] = (),
    ) -> None:
        self.name = name
        self.strategy = strategy
        self.quantity = quantity
        self.rules = rules
        self.key_rules = key_rules
        self.held = Leg(name, int(Verdict.HELD))
        self._lot = instrument.lot

    def sized(self, intent: int) -> int:
        """The position that `intent` wants: its part of the quantity, rounded down to whole lots."""
        if intent in (FULL, -FULL, 0):
            return self.quantity if intent > 0 else -self.quantity if intent else 0
        size = abs(intent) * self.quantity // FULL
        size -= size % self._lot
        return size if intent > 0 else -size

    def slot(self) -> Slot:
        return Slot(self.name, self.strategy.tag, self.strategy.origin(), 0, origin())


class Plan:
    """What applies to one symbol. `seats` are sorted by name, so that no order of a file decides."""

    __slots__ = (
        "_key_rules",
        "_rules",
        "_symbol",
        "_wide",
        "_wide_scale",
        "held",
        "instrument",
        "max_quantity",
        "order_quantity",
        "risk",
        "seats",
        "wide_factor",
    )

    def __init__(
        self,
        trading: schema.Trading,
        instrument: Instrument,
        strategies: Mapping[str, Strategy],
        symbol: str | None,
        wide_scale: int,
    ) -> None:
        """`wide_scale`: decimals of money in which wide throttles count, whatever the instrument's."""
        self.instrument = instrument
        self._wide_scale = wide_scale
        self.wide_factor = 10 ** (wide_scale - instrument.money_scale)
        scale = instrument.quantity_scale
        self.max_quantity = configured(trading.max_signal_quantity, scale)
        self.risk = compile_limits(trading.risk, instrument.session, instrument)
        self.order_quantity = _lots(trading.signal_quantity, instrument)
        matching = [throttle for throttle in trading.throttles if throttle.scope.symbol in (None, symbol)]
        self._wide = [throttle for throttle in matching if throttle.over_symbols]
        own = [throttle for throttle in matching if not throttle.over_symbols]
        self._symbol = symbol
        narrow = [throttle for throttle in own if not throttle.over_strategies]
        self._rules = _Rules(narrow, strategies, instrument, symbol)
        shared = [throttle for throttle in own if throttle.over_strategies]
        self._key_rules = _Rules(shared, strategies, instrument, symbol)
        members = {member for section in trading.strategies.values() for member in section.members}
        self.seats = tuple(
            Seat(
                name,
                strategies[name],
                _lots(section.quantity, instrument),
                instrument,
                self._rules.of(name),
                self._key_rules.of(name),
            )
            for name, section in sorted(trading.strategies.items())
            if name not in members and (not section.symbols or symbol in section.symbols)
        )
        self.held = Decision(tuple(seat.held for seat in self.seats))

    def rules_of(self, strategy: str) -> tuple[Rule, ...]:
        """The throttles that count `strategy` in this symbol, by itself."""
        return self._rules.of(strategy)

    def key_rules_of(self, strategy: str | None) -> tuple[Rule, ...]:
        """The throttles that count all strategies of this symbol together, as they hold for `strategy` (None:
        for one that no override names)."""
        return self._key_rules.of(strategy)

    @property
    def key_exceptions(self) -> list[str]:
        """The strategies for which those throttles hold otherwise than for others."""
        return self._key_rules.exceptions

    @property
    def wide(self) -> bool:
        """Whether any throttle counts over symbols, so that more than this key's state is asked."""
        return bool(self._wide)

    def wide_of(self, strategy: str, symbol: str) -> tuple[tuple[Scope, ...], tuple[Rule, ...]]:
        """The wide scopes that an entry of `strategy` in `symbol` counts in, and their rules."""
        scopes, rules = [], []
        for throttle in self._wide:
            if throttle.scope.strategy_id not in (None, strategy):
                continue
            scopes.append((throttle.name, strategy if throttle.per == "strategy" else ""))
            effective = overridden(throttle, strategy, symbol)
            rules.append(compile_rule(effective, self._wide_scale))
        return tuple(scopes), tuple(rules)

    def wide_rule(self, seen: LastSeen, symbol: str) -> tuple[Rule, str | None] | None:
        """The rule under which `symbol` asked a wide scope, with the strategy that the scope is of; None
        where no such throttle is configured."""
        for throttle in self._wide:
            if throttle.name == seen.throttle:
                strategy = seen.counted if throttle.per == "strategy" else None
                effective = overridden(throttle, seen.strategy or strategy, symbol)
                return compile_rule(effective, self._wide_scale), strategy
        return None

    def quantity_of(self, strategy: str) -> int:
        """The order size of a signal that names none."""
        for seat in self.seats:
            if seat.name == strategy:
                return seat.quantity
        return self.order_quantity

    def fresh(self, name: str) -> Slot:
        """The slot of a strategy that only signals name, before its first order."""
        return Slot(name, "", None, 0, origin())

    def origin(self, symbol: str) -> State:
        return State(symbol, slots=tuple(seat.slot() for seat in self.seats))

    def adopt(self, state: State) -> State:
        """`state` as decoded, fitted to this plan, which may be another than it was made under.

        Positions and what throttles remember are never lost, and depend on no configuration. The memory of
        a strategy under another tag begins anew.
        """
        stored = {slot.name: slot for slot in state.slots}
        slots = [_seated(seat, stored.pop(seat.name, None)) for seat in self.seats]
        slots += [Slot(slot.name, "", None, slot.position, slot.scope) for slot in stored.values()]
        return msgspec.structs.replace(state, slots=tuple(slots))


class Plans:
    """The plan of every symbol. Raises ConfigError with every fault."""

    __slots__ = ("_default", "_named", "of")

    def __init__(self, trading: schema.Trading, kinds: Mapping[str, Factory]) -> None:
        instruments = Instruments(trading)
        strategies = _strategies(trading, kinds)
        scale = max(instruments.of(name).money_scale for name in ("", *instruments.named))
        self._named = {
            symbol: Plan(trading, instruments.of(symbol), strategies, symbol, scale)
            for symbol in _named_symbols(trading, instruments)
        }
        self._default = Plan(trading, instruments.of(""), strategies, None, scale)
        self.of = self._of

    def _of(self, symbol: str) -> Plan:
        return self._named.get(symbol, self._default)


def _named_symbols(trading: schema.Trading, instruments: Instruments) -> Iterable[str]:
    symbols = set(instruments.named)
    for section in trading.strategies.values():
        symbols.update(section.symbols)
    symbols.update(t.scope.symbol for t in trading.throttles if t.scope.symbol is not None)
    for throttle in trading.throttles:
        symbols.update(o.scope.symbol for o in throttle.overrides if o.scope.symbol is not None)
    return sorted(symbols)


def _strategies(trading: schema.Trading, kinds: Mapping[str, Factory]) -> dict[str, Strategy]:
    faults: list[str] = []
    made: dict[str, Strategy] = {}
    for name, section in trading.strategies.items():
        if section.kind == ENSEMBLE:
            continue
        factory = kinds.get(section.kind)
        if factory is None:
            known = ", ".join(sorted([*kinds, ENSEMBLE]))
            faults.append(f"trading.strategies.{name}.kind = {section.kind!r}: expected {known}")
            continue
        try:
            made[name] = factory(section)
        except ValueError as error:
            faults.append(f"trading.strategies.{name}: {error}")
    if faults:
        raise ConfigError(faults)
    for name, section in trading.strategies.items():
        if section.kind != ENSEMBLE:
            continue
        missing = [member for member in section.members if member not in made]
        try:
            if missing:
                raise ValueError(f"ensemble: members: {', '.join(missing)}: no such strategy")
            members = [(member, made[member], fraction(w)) for member, w in section.members.items()]
            made[name] = Ensemble(members)
        except ValueError as error:
            faults.append(f"trading.strategies.{name}: {error}")
    if faults:
        raise ConfigError(faults)
    return made


def overridden(throttle: schema.Throttle, strategy: str | None, symbol: str | None) -> schema.Throttle:
    """`throttle` with the limits of its most specific override for this strategy and symbol."""
    best, most = None, -1
    for override in throttle.overrides:
        scope = override.scope
        if scope.strategy_id not in (None, strategy) or scope.symbol not in (None, symbol):
            continue
        rank = 2 * (scope.strategy_id is not None) + (scope.symbol is not None)
        if rank >= most:
            best, most = override, rank
    if best is None:
        return throttle
    names = [name for name in best.__struct_fields__ if name != "scope" and getattr(best, name) is not None]
    return msgspec.structs.replace(throttle, **{name: getattr(best, name) for name in names})


class _Rules:
    """The rules of some throttles in one symbol, for each strategy that anything names and for all others."""

    __slots__ = ("_named", "_others")

    def __init__(
        self,
        throttles: Iterable[schema.Throttle],
        strategies: Iterable[str],
        instrument: Instrument,
        symbol: str | None,
    ) -> None:
        def compiled(strategy: str | None) -> tuple[Rule, ...]:
            return tuple(
                compile_rule(overridden(throttle, strategy, symbol), instrument.money_scale)
                for throttle in throttles
                if throttle.scope.strategy_id in (None, strategy)
            )

        named = {*strategies, *(t.scope.strategy_id for t in throttles)}
        named |= {override.scope.strategy_id for t in throttles for override in t.overrides}
        self._named = {name: compiled(name) for name in named if name}
        self._others = compiled(None)

    def of(self, strategy: str | None) -> tuple[Rule, ...]:
        return self._named.get(strategy, self._others) if strategy is not None else self._others

    @property
    def exceptions(self) -> list[str]:
        return sorted(name for name, rules in self._named.items() if rules != self._others)


def _lots(text: str, instrument: Instrument) -> int:
    """A configured quantity in whole lots, rounded down; at most what a scaled quantity may be."""
    quantity = min(configured(text, instrument.quantity_scale), limits.MAX_SCALED)
    return quantity - quantity % instrument.lot


def _seated(seat: Seat, slot: Slot | None) -> Slot:
    if slot is None:
        return seat.slot()
    memory = _memory(seat.strategy, slot.memory) if slot.tag == seat.strategy.tag else None
    if memory is None:
        memory = seat.strategy.origin()
    return Slot(seat.name, seat.strategy.tag, memory, slot.position, slot.scope)


def _memory(strategy: Strategy, plain: Any) -> Any:
    """A memory from the plain values it was stored as; None when they are none of this strategy's."""
    try:
        return msgspec.convert(plain, strategy.memory)
    except msgspec.ValidationError:
        return None
