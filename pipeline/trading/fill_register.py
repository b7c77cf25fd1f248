"""Which fills of one key have happened: an exact replay is skipped, one that contradicts is refused.

A fill's id is made of nothing but its place: the event on which it happened, and its order's event and leg.
So whoever derives or receives it, and however often, it is the same id. Amounts that an order takes back
(`Cancel`) have ids of the same kind.
"""

from __future__ import annotations

from collections import OrderedDict

from pipeline import limits
from pipeline.errors import DamagedError
from pipeline.messages import Cancel, Fill

Done = Fill | Cancel
Name = tuple[int, int, int, bool]
"""key_seq of the event, key_seq and leg of the order, whether it is a fill."""


class FillConflictError(DamagedError):
    """An id that was seen comes again with other content."""


class OverfillError(DamagedError):
    """More than what is open of an order, or of no order at all."""


class ForgottenFillError(DamagedError):
    """Older than what the register remembers: nobody can tell whether it is a replay."""


def fill_id(symbol: str, key_seq: int, done: Done) -> str:
    """`AAPL:12@11.0`: on AAPL's event 12, for the order of leg 0 of event 11; a cancellation ends in `!`."""
    mark = "" if type(done) is Fill else "!"
    return f"{symbol}:{key_seq}@{done.order_seq}.{done.order_leg}{mark}"


class FillRegister:
    """What happened to the orders of `symbol`, at most the newest `keep` of it."""

    __slots__ = ("_forgotten_seq", "_keep", "_known", "_symbol", "last_seq")

    def __init__(self, symbol: str, keep: int = limits.MAX_REGISTERED_FILLS) -> None:
        self._symbol = symbol
        self._keep = keep
        self._known: OrderedDict[Name, Done] = OrderedDict()
        self._forgotten_seq = 0
        self.last_seq = 0
        """key_seq of the newest event applied; 0: none. Only `applied` moves it."""

    def __len__(self) -> int:
        return len(self._known)

    def admit(self, key_seq: int, done: Done, left: int | None) -> bool:
        """Whether `done`, of event `key_seq`, is new; False: it happened already, exactly so.

        `left` is what is open of its order, None where there is no such order. Nothing is noted unless it is
        new. Raises FillConflictError, OverfillError or ForgottenFillError.
        """
        name = (key_seq, done.order_seq, done.order_leg, type(done) is Fill)
        known = self._known.get(name)
        if known is not None:
            if known == done:
                return False
            raise FillConflictError(
                f"{self._words(key_seq, done)} came again as another: {_apart(known, done)}"
            )
        if key_seq <= self._forgotten_seq:
            raise ForgottenFillError(
                f"{self._words(key_seq, done)} is older than the {self._keep} that are remembered "
                f"(up to event {self._forgotten_seq} all is forgotten)"
            )
        if left is None or not 0 < done.quantity <= left:
            rest = "there is no such order open" if left is None else f"open is {left}"
            raise OverfillError(
                f"{self._words(key_seq, done)} is of {done.quantity} for {done.strategy}: {rest}"
            )
        self._known[name] = done
        if len(self._known) > self._keep:
            (seq, *_), _ = self._known.popitem(last=False)
            self._forgotten_seq = max(self._forgotten_seq, seq)
        return True

    def applied(self, key_seq: int) -> bool:
        """Notes that event `key_seq` is applied; False when it was already: it orders no more."""
        if key_seq <= self.last_seq:
            return False
        self.last_seq = key_seq
        return True

    def _words(self, key_seq: int, done: Done) -> str:
        kind = "fill" if type(done) is Fill else "cancellation"
        return f"{kind} {fill_id(self._symbol, key_seq, done)}"


def _apart(known: Done, done: Done) -> str:
    """The fields in which both differ, as `price 10 and now 11`."""
    return ", ".join(
        f"{field} {getattr(known, field)!r} and now {getattr(done, field)!r}"
        for field in known.__struct_fields__
        if getattr(known, field) != getattr(done, field)
    )
