"""Whatever is answered other than success, as an exception that knows its answer."""

from __future__ import annotations

from pipeline import valuation_limits
from pipeline.errors import InvalidEventError
from pipeline.stages.gateway.answer import Answer
from pipeline.stages.gateway.problem import Problem, problem
from pipeline.storage.valuation.store import ChangedMeanwhileError, StoreAwayError, UnansweredError
from pipeline.trading.instruments import Instruments
from pipeline.valuation.nav import NoMarkError, StaleMarkError
from pipeline.valuation.quotes import Quotes

RETRY_S = valuation_limits.VALUATION_STORE_S


class RefusedError(Exception):
    """Ends a request with `answer`."""

    def __init__(self, kind: Problem, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        retry = RETRY_S if kind.status == 503 else None
        self.answer: Answer = problem(kind, detail, field=field, retry_after_s=retry)


def refused(error: Exception, quotes: Quotes) -> RefusedError | None:
    """What a foreseen error is told as; None for one that is not foreseen."""
    match error:
        case RefusedError():
            return error
        case NoMarkError():
            kind = Problem.NO_MARK if _all_known(error.symbols, quotes) else Problem.UNKNOWN_SYMBOL
            return RefusedError(kind, str(error), error.domain)
        case StaleMarkError():
            return RefusedError(Problem.STALE_MARK, str(error), error.domain)
        case InvalidEventError():
            return RefusedError(Problem.UNACCEPTABLE_BODY, str(error), error.field)
        case ChangedMeanwhileError():
            return RefusedError(Problem.DOMAIN_CHANGED, str(error))
        case UnansweredError():
            detail = "the engine has not answered in time; whether it has changed shows when it does"
            return RefusedError(Problem.ENGINE_AWAY, detail)
        case StoreAwayError():  # what is wrong may name hosts: that is for the log
            return RefusedError(Problem.ENGINE_AWAY, "the engine does not answer; nothing was changed")
    return None


def _all_known(symbols: tuple[str, ...], quotes: Quotes) -> bool:
    instruments: Instruments = quotes.instruments
    return all(symbol in quotes.by_symbol or symbol in instruments.named for symbol in symbols)
