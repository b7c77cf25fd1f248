"""What is posted and answered: the shapes of the bodies, which the OpenAPI page shows."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from pipeline import valuation_limits
from pipeline.messages import CandleIn
from pipeline.text import DecimalText, NameText
from pipeline.valuation.book import PositionIn

AgeS = Annotated[int, Meta(ge=0, le=31_536_000)]
Version = Annotated[int, Meta(ge=0, le=2**53)]

# ---- asked ----------------------------------------------------------------------------------------------


class BookIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A book that is valued without being kept."""

    domain: NameText
    positions: tuple[PositionIn, ...]
    cash: DecimalText = "0"


class ValuationIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Kept `domains` by name and `books` of the moment, one or more together. `positions` false leaves the
    single positions out of the answer; `max_age_s` is asked for instead of `valuation.stale_after_s`
    (0: marks of any age)."""

    domains: tuple[NameText, ...] = ()
    books: tuple[BookIn, ...] = ()
    ensemble: bool = False
    positions: bool = True
    max_age_s: AgeS | None = None


class DomainIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A domain to keep. `version`: only if this is the kept one's, 0 if there must be none."""

    positions: tuple[PositionIn, ...] = ()
    cash: DecimalText = "0"
    version: Version | None = None


class HoldingIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One position of a domain; quantity 0 takes it out."""

    quantity: DecimalText
    cost: DecimalText | None = None


class MarkIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A price; `time` is RFC 3339 with an offset, now where it is left out."""

    price: DecimalText
    time: str | None = None


class CandlesIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Candles as webhooks carry them, those of a symbol in their order."""

    candles: Annotated[tuple[CandleIn, ...], Meta(max_length=valuation_limits.MAX_POSTED_CANDLES)]


# ---- answered -------------------------------------------------------------------------------------------


class PositionOut(Struct, frozen=True, forbid_unknown_fields=True):
    """One position at its price. `marked` is when the mark was received. `spread` of the
    models' prices and `confidence`, 0 to 1, only with the ensemble."""

    symbol: str
    quantity: str
    price: str
    marked: str
    value: str
    profit: str | None
    spread: str | None = None
    confidence: str | None = None


class WorthOut(Struct, frozen=True, forbid_unknown_fields=True):
    """A domain: `nav` = `cash` + `value`. `profit` leaves out positions without a cost. `spread`: what
    `value` would be off if every model's spread were, all to one side."""

    domain: str
    nav: str
    cash: str
    value: str
    profit: str
    spread: str | None
    oldest_mark: str | None
    positions: tuple[PositionOut, ...] | None = None


class ValuationOut(Struct, frozen=True, forbid_unknown_fields=True):
    """All domains, in the order asked for, and their net asset values together."""

    at: str
    ensemble: bool
    nav: str
    domains: tuple[WorthOut, ...]


class HeldOut(Struct, frozen=True):
    symbol: str
    quantity: str
    cost: str | None = None


class DomainOut(Struct, frozen=True):
    """A domain as it is kept. `own`: the pipeline's, which nobody else changes."""

    domain: str
    version: int
    own: bool
    cash: str
    positions: tuple[HeldOut, ...]


class DomainLine(Struct, frozen=True):
    domain: str
    version: int
    own: bool
    positions: int


class DomainsOut(Struct, frozen=True):
    domains: tuple[DomainLine, ...]


class AnswerOut(Struct, frozen=True):
    """One model's price, or why there is none."""

    model: str
    price: str | None
    fault: str


class MarkOut(Struct, frozen=True):
    """A symbol's mark. `price` with the ensemble off, `ensemble` with it on."""

    symbol: str
    mark: str
    time: str
    received: str
    source: str
    bars: int
    price: str | None
    ensemble: str | None
    spread: str | None
    low: str | None
    high: str | None
    confidence: str | None
    models: tuple[AnswerOut, ...]


class MarksOut(Struct, frozen=True):
    """Sorted by symbol; `next` is what to give as `after` for those that follow."""

    marks: tuple[MarkOut, ...]
    next: str | None


class TakenOut(Struct, frozen=True):
    """`late`: not later than the bar before, which changes nothing."""

    taken: int
    late: int


class NavOut(Struct, frozen=True):
    """A recorded value of a domain: off and on, with the ensemble's spread."""

    at: str
    nav: str
    ensemble: str | None
    spread: str | None


class NavsOut(Struct, frozen=True):
    """Oldest first; `next` is what to give as `since` for those that follow."""

    domain: str
    values: tuple[NavOut, ...]
    next: str | None


class SnapshotOut(Struct, frozen=True):
    """What is stored for a restart: until which row of the audit, how many symbols changed last."""

    at: str | None
    next_row: int
    symbols: int


class StatusOut(Struct, frozen=True):
    """How it does. `feed`: off, connecting, live or what is wrong; `behind`: rows settled and not yet
    taken, null before the feed has told; `complete`: whether the own book has every fill; `left_out`: models
    that are not asked any more, and why; `unstored`: values that wait for the engine; `lost`: those there was
    no more room for."""

    feed: str
    next_row: int
    behind: int | None
    complete: bool
    marks: int
    domains: int
    models: tuple[str, ...]
    left_out: dict[str, str]
    engine: str
    unstored: int
    lost: int
    snapshot: SnapshotOut


class HealthOut(Struct, frozen=True):
    status: str


class ProblemOut(Struct, frozen=True):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    retry_after_s: int | None = None
