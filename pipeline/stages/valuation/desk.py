"""What the service knows: quotes, kept domains, the pipeline's own book; and every change of them.

A change is stored before it is seen, and one at a time: what is answered is what would be there after a
restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct

from pipeline import valuation_limits
from pipeline.clock import US_PER_S, Clock
from pipeline.config import Config
from pipeline.errors import InvalidEventError
from pipeline.stages.gateway.problem import Problem
from pipeline.stages.valuation.keeper import Keeper
from pipeline.stages.valuation.marking import Marking
from pipeline.stages.valuation.model_process import ModelProcess
from pipeline.stages.valuation.refusal import RefusedError
from pipeline.stages.valuation.standing import Standing
from pipeline.stages.valuation.texts import QuoteTexts, batch
from pipeline.stages.valuation.turn import drive
from pipeline.stages.valuation.wire import ValuationIn
from pipeline.storage.valuation.store import (
    ChangedMeanwhileError,
    StoredDomain,
    UnansweredError,
    ValuationStore,
)
from pipeline.trading.instruments import Instruments
from pipeline.valuation.book import Book, Position, PositionIn, book_in_slices, with_position
from pipeline.valuation.own_book import OwnBook
from pipeline.valuation.quotes import Quotes


class KeptBook(Struct, frozen=True, array_like=True):
    """A domain as the engine keeps it; cash is text, for it has no bound."""

    cash: str
    positions: tuple[Position, ...]


_encode = msgspec.msgpack.Encoder().encode
_kept = msgspec.msgpack.Decoder(KeptBook)


class Desk:
    """All calls belong to one event loop."""

    def __init__(self, config: Config, keeper: Keeper, clock: Clock) -> None:
        self.settings = config.valuation
        self.clock = clock
        self.keeper = keeper
        self.instruments = Instruments(config.trading)
        self._ahead_s = config.gateway.max_candle_ahead_s
        self._texts = QuoteTexts()
        self.quotes = Quotes(config.valuation, config.trading, self._texts.prepare)
        self.users_models = ModelProcess(config.valuation.models)
        self.marking = Marking(self.quotes, self.users_models)
        self.own = OwnBook(config.valuation.own_domain, self.instruments)
        self._books: dict[str, Book] = {}
        self._standings: dict[tuple[str, bool], Standing] = {}
        self.going: set[str] = set()
        """Domains that are being taken out: no value of them is stored meanwhile."""
        self.on_gone: Callable[[str], None] = lambda _: None
        self.own_doubt: Callable[[], str] = lambda: ""
        """Why the own book is not what the pipeline holds; "" where it is."""
        self._doubtful = False
        """Whether the engine may hold domains that are not those of `_books`."""
        self._changing = asyncio.Lock()
        self._valuing = asyncio.Lock()

    async def load(self) -> None:
        """The kept domains. Raises StoreAwayError."""
        stored = await self.keeper.run(lambda store: store.domains())
        for name in self._books.keys() - stored.keys():
            self.on_gone(name)
        self._books = {name: self._same_or_read(name, domain) for name, domain in stored.items()}
        self._doubtful = False

    def _same_or_read(self, name: str, stored: StoredDomain) -> Book:
        known = self._books.get(name)
        if known is not None and known.version == stored.version:
            return known
        kept = _kept.decode(stored.body)
        return Book(name, int(kept.cash), kept.positions, stored.version)

    async def settle(self) -> None:
        """After a change that the engine has not answered: what it holds counts. Raises StoreAwayError."""
        if self._doubtful:
            async with self._changing:
                await self._settled()

    async def _settled(self) -> None:
        if self._doubtful:
            await self.load()

    async def _change(self, work: Callable[[ValuationStore], None]) -> None:
        try:
            await self.keeper.run(work)
        except (UnansweredError, ChangedMeanwhileError, asyncio.CancelledError):
            self._doubtful = True
            raise

    @property
    def own_name(self) -> str:
        return self.settings.own_domain

    def books(self) -> list[Book]:
        """All domains by name, the own one among them."""
        return [self.book(name) for name in sorted({*self._books, self.own_name})]

    def book(self, name: str, field: str = "domain") -> Book:
        """Raises RefusedError."""
        if name == self.own_name:
            return self.own.book
        try:
            return self._books[name]
        except KeyError:
            raise RefusedError(Problem.UNKNOWN_DOMAIN, f"{field}: there is no domain {name}", field) from None

    async def made(self, name: str, cash: str, positions: Sequence[PositionIn], field: str = "") -> Book:
        """A book as posted. Raises InvalidEventError naming what is wrong, below `field`."""
        return await drive(book_in_slices(name, cash, positions, self.instruments, field, 1))

    # ---- changes

    async def put(self, book: Book, expected: int | None = None) -> Book:
        """Keeps `book` as the next version; `expected` is the one it has to follow. Raises RefusedError,
        StoreAwayError and ChangedMeanwhileError; then nothing has changed."""
        self._not_own(book.name)
        async with self._changing:
            await self._settled()
            return await self._put(book, expected)

    async def put_position(self, name: str, position: Position) -> Book:
        """Replaces one position, or takes it out where its quantity is 0. Raises as `put`."""
        self._not_own(name)
        async with self._changing:
            await self._settled()
            known = self.book(name)
            made = with_position(known, position)
            bounded(len(made.positions), valuation_limits.MAX_POSITIONS, "positions")
            return await self._put(made, None)

    async def delete(self, name: str) -> None:
        """Takes out a domain and its recorded values. Raises as `put`."""
        self._not_own(name)
        async with self._changing:
            await self._settled()
            version = self.book(name).version
            self.going.add(name)
            try:
                await self._change(lambda store: store.delete_domain(name, version))
                del self._books[name]
                self.on_gone(name)
            finally:
                self.going.discard(name)
            for ensemble in (False, True):
                self._standings.pop((name, ensemble), None)

    async def _put(self, book: Book, expected: int | None) -> Book:
        known = self._books.get(book.name)
        version = known.version if known else 0
        if expected is not None and expected != version:
            detail = f"version: {book.name} has version {version}, not {expected}"
            raise RefusedError(Problem.DOMAIN_CHANGED, detail, "version")
        if known is None and len(self._books) >= valuation_limits.MAX_DOMAINS:
            raise RefusedError(
                Problem.TOO_MANY_DOMAINS, f"there are {valuation_limits.MAX_DOMAINS} domains, the limit"
            )
        made = Book(book.name, book.cash, book.positions, version + 1)
        body = _encode(KeptBook(str(made.cash), made.positions))
        await self._change(lambda store: store.put_domain(made.name, made.version, body))
        self._books[made.name] = made
        return made

    def _not_own(self, name: str) -> None:
        if name == self.own_name:
            detail = f"domain: {name} is what the pipeline has traded; valuation.own_domain names it"
            raise RefusedError(Problem.OWN_DOMAIN, detail, "domain")

    # ---- valuation

    async def value(self, wanted: ValuationIn) -> bytes:
        """The answer to a batch. Raises RefusedError, NoMarkError, StaleMarkError, InvalidEventError."""
        books = await self._wanted(wanted)
        kept, ensemble, positions = len(wanted.domains), wanted.ensemble, wanted.positions
        max_age_s = self.settings.stale_after_s if wanted.max_age_s is None else wanted.max_age_s
        del wanted  # thousands of positions take as long to go as to come: at another turn than the answer
        large = sum(len(book.positions) for book in books) > valuation_limits.VALUATION_SLICE
        async with self._valuing:  # a batch that pauses keeps its instant: no other one moves its books on
            now_us, version = self.clock.wall_us(), self.quotes.version
            quotes = dict(self.quotes.by_symbol) if large else self.quotes.by_symbol
            texts, nav = [], 0
            for index, book in enumerate(books):
                if large:
                    await asyncio.sleep(0)
                standing = self._standing(book, ensemble, kept=index < kept)
                await drive(standing.update(quotes, version))
                standing.fresh(now_us, max_age_s * US_PER_S)
                nav += standing.nav
                texts.append(await drive(standing.text(positions=positions)))
                del standing
            if large:
                await asyncio.sleep(0)
        return batch(now_us, ensemble, nav, texts)

    def _standing(self, book: Book, ensemble: bool, *, kept: bool) -> Standing:
        """Of a kept book the one that is known, as long as the book is the same."""
        known = self._standings.get((book.name, ensemble)) if kept else None
        if known is not None and known.book is book:
            return known
        made = Standing(book, ensemble, self._texts)
        if kept:
            self._standings[book.name, ensemble] = made
        return made

    async def _wanted(self, wanted: ValuationIn) -> list[Book]:
        names = [*wanted.domains, *(book.domain for book in wanted.books)]
        bounded(len(names), valuation_limits.MAX_BATCH_DOMAINS, "domains")
        if not names:
            raise RefusedError(Problem.UNACCEPTABLE_BODY, "domains: name one, or give a book", "domains")
        if len(set(names)) < len(names):
            raise RefusedError(Problem.UNACCEPTABLE_BODY, "domains: one is there twice", "domains")
        books = [self._known(name, f"domains[{index}]") for index, name in enumerate(wanted.domains)]
        count = sum(len(book.positions) for book in books) + sum(len(book.positions) for book in wanted.books)
        bounded(count, valuation_limits.MAX_BATCH_POSITIONS, "positions")
        for index, posted in enumerate(wanted.books):
            bounded(len(posted.positions), valuation_limits.MAX_POSITIONS, f"books[{index}].positions")
            field = f"books[{index}]."
            books.append(await self.made(posted.domain, posted.cash, posted.positions, field))
        return books

    def _known(self, name: str, field: str) -> Book:
        """A half-read own book would be valued as if it were all that was traded."""
        if name == self.own_name and (doubt := self.own_doubt()):
            raise RefusedError(Problem.OWN_BOOK_BEHIND, f"{field}: {name}: {doubt}", field)
        return self.book(name, field)

    # ---- marks

    async def post_mark(self, symbol: str, price: int, time_us: int) -> None:
        """Raises RefusedError when a later mark is known or there are too many symbols."""
        self.not_ahead("time", time_us)
        try:
            await self.marking.mark(symbol, price, time_us, self.clock.wall_us(), self.room_for)
        except InvalidEventError as error:
            raise RefusedError(Problem.OLDER_MARK, str(error), "time") from None

    def not_ahead(self, field: str, time_us: int) -> None:
        """Raises InvalidEventError beyond `gateway.max_candle_ahead_s`: nothing would be newer for long."""
        ahead_s = (time_us - self.clock.wall_us()) // US_PER_S
        if ahead_s > self._ahead_s:
            raise InvalidEventError(field, f"{ahead_s} s in the future; the limit is {self._ahead_s} s")

    def room_for(self, symbols: Iterable[str]) -> None:
        """Raises RefusedError when these would be too many."""
        new = sum(symbol not in self.quotes.by_symbol for symbol in set(symbols))
        if new and len(self.quotes.by_symbol) + new > valuation_limits.MAX_MARKED_SYMBOLS:
            detail = f"{valuation_limits.MAX_MARKED_SYMBOLS} symbols have marks; no more are taken"
            raise RefusedError(Problem.VALUATION_TOO_LARGE, detail)


def bounded(count: int, most: int, field: str) -> None:
    """Raises RefusedError when `count` is more than `most`."""
    if count > most:
        detail = f"{field}: {count} of them; the limit is {most}"
        raise RefusedError(Problem.VALUATION_TOO_LARGE, detail, field)
