"""A row of the audit as a person or a program reads it: decimals as text, words for numbers, UTC times."""

from __future__ import annotations

from msgspec import Struct

from pipeline.delivery import Delivery
from pipeline.messages import (
    BUY,
    SELL,
    Candle,
    Control,
    Decision,
    Event,
    Fate,
    Fills,
    Leg,
    Signal,
    Verdict,
    decode_decision,
    decode_event,
    decode_fills,
)
from pipeline.stages.way import ChecksStory, WayStory, checks_of, way_of
from pipeline.stages.way import utc as utc
from pipeline.storage.audit import AuditRow
from pipeline.trading.instruments import Instrument, Instruments

_SIDES = {BUY: "buy", SELL: "sell", 0: "close"}


class LegStory(Struct, frozen=True, kw_only=True):
    """One strategy's answer. `reasons` say why it was refused, `retry_at` until when that holds."""

    strategy: str
    verdict: str
    intent: str = ""
    side: str = ""
    quantity: str = ""
    price: str = ""
    reasons: tuple[str, ...] = ()
    retry_at: str = ""


class FillStory(Struct, frozen=True, kw_only=True):
    """A fill of the order that leg `order_leg` of the key's event `order_seq` placed."""

    strategy: str
    side: str
    quantity: str
    price: str
    commission: str
    realised: str
    position: str
    policy: str
    order_seq: int
    order_leg: int


class CancelStory(Struct, frozen=True, kw_only=True):
    strategy: str
    quantity: str
    order_seq: int
    order_leg: int


class Story(Struct, frozen=True, kw_only=True):
    """One event of one key, from its acceptance to its place in the chain. Amounts are exact decimals."""

    seq: int
    key: str
    key_seq: int
    event_id: str
    source: str
    webhook_id: str
    accepted: str
    fate: str
    event: dict[str, str]
    code: str
    rejected: str
    inputs: tuple[str, ...]
    legs: tuple[LegStory, ...]
    fills: tuple[FillStory, ...]
    cancelled: tuple[CancelStory, ...]
    resting: int
    outcome: str
    agent_digest: str
    exec_digest: str
    chain_hash: str
    traceparent: str = ""
    checks: ChecksStory | None = None
    """What the gateway checked; null: not recorded."""
    way: WayStory | None = None
    """None: the feed that was asked is of an older version."""


def story_of(row: AuditRow, instruments: Instruments) -> Story:
    """The story of one row; `instruments` of the configuration it was traded under give the decimals."""
    delivery = row.delivery
    instrument = instruments.of(delivery.key)
    decision = decode_decision(delivery.decision) if delivery.decision else Decision()
    fills = decode_fills(delivery.fills) if delivery.fills else Fills()
    return Story(
        seq=row.seq,
        key=delivery.key,
        key_seq=delivery.key_seq,
        event_id=delivery.event_id.hex(),
        source=delivery.source,
        webhook_id=delivery.webhook_id,
        accepted=utc(delivery.accepted_us),
        fate=Fate(delivery.fate).name.lower(),
        event=_event(delivery, instrument),
        code=delivery.code,
        rejected=decision.rejected,
        inputs=decision.inputs,
        legs=tuple(_leg(leg, instrument) for leg in decision.legs),
        fills=_fills(fills, instrument),
        cancelled=tuple(
            CancelStory(
                strategy=cancel.strategy,
                quantity=instrument.quantity_text(cancel.quantity),
                order_seq=cancel.order_seq,
                order_leg=cancel.order_leg,
            )
            for cancel in fills.cancelled
        ),
        resting=fills.resting,
        outcome=delivery.outcome,
        agent_digest=delivery.a.hex(),
        exec_digest=delivery.x.hex(),
        chain_hash=row.h.hex(),
        traceparent=delivery.traceparent,
        checks=checks_of(delivery),
        way=way_of(delivery),
    )


def _event(delivery: Delivery, instrument: Instrument) -> dict[str, str]:
    if not delivery.payload:
        return {"type": "nothing"}
    event: Event = decode_event(delivery.payload)
    if isinstance(event, Candle):
        prices = {
            name: instrument.price_text(getattr(event, name)) for name in ("open", "high", "low", "close")
        }
        return {
            "type": "candle",
            "time": utc(event.time_us),
            **prices,
            "volume": instrument.quantity_text(event.volume),
        }
    if isinstance(event, Signal):
        given = {"type": "signal", "strategy": event.strategy, "side": _SIDES[event.side]}
        if event.quantity:
            given["quantity"] = instrument.quantity_text(event.quantity)
        if event.price:
            given["price"] = instrument.price_text(event.price)
        return given
    assert isinstance(event, Control)
    return {"type": "control", "action": event.action} | ({"reason": event.reason} if event.reason else {})


def _leg(leg: Leg, instrument: Instrument) -> LegStory:
    wanted = leg.quantity > 0
    return LegStory(
        strategy=leg.strategy,
        verdict=Verdict(leg.verdict).name.lower(),
        intent=leg.intent,
        side=_SIDES[leg.side] if leg.side else "",
        quantity=instrument.quantity_text(leg.quantity) if wanted else "",
        price=instrument.price_text(leg.price) if wanted and leg.price else "",
        reasons=leg.reasons,
        retry_at=utc(leg.retry_at_us),
    )


def _fills(fills: Fills, instrument: Instrument) -> tuple[FillStory, ...]:
    return tuple(
        FillStory(
            strategy=fill.strategy,
            side=_SIDES[fill.side],
            quantity=instrument.quantity_text(fill.quantity),
            price=instrument.price_text(fill.price),
            commission=instrument.money_text(fill.commission),
            realised=instrument.money_text(fill.realised),
            position=instrument.quantity_text(fill.position),
            policy=fill.policy,
            order_seq=fill.order_seq,
            order_leg=fill.order_leg,
        )
        for fill in fills.fills
    )
