"""What a strategy is, and the guard that keeps one that misbehaves from doing harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Protocol

import msgspec
from msgspec.structs import astuple

from pipeline import limits
from pipeline.messages import Candle
from pipeline.trading.plugin import HungError, OverlongError, is_interrupt
from pipeline.trading.reasons import Reason, describe

FULL = 10_000
"""An intent of the strategy's whole configured quantity; smaller ones are parts of it."""


_CANDLE_TYPES = (str, *[int] * 6)


class Strategy(Protocol):
    """State in, candle in, intent out.

    A strategy is a pure function: it sees one closed candle at a time and its own memory, nothing else, so
    it cannot look ahead. The intent is the position it wants from now on, in parts of `FULL` of the
    configured quantity (−FULL short … 0 flat … FULL long), or None to leave things as they are. It is
    judged once; what was refused is not tried again until the strategy wants it again.
    """

    @property
    def tag(self) -> str:
        """Names the kind and every parameter that the memory depends on: memory under another tag is not
        read but begun anew."""

    @property
    def memory(self) -> type[Any]:
        """The type of its memory: an immutable msgspec Struct that survives msgpack."""

    @property
    def vetted(self) -> bool:
        """True only where tests prove that every memory survives msgpack; others are tried at each step."""

    def origin(self) -> Any:
        """The memory before the first candle."""

    def step(self, memory: Any, candle: Candle) -> tuple[Any, int | None]:
        """The memory after `candle`, and the intent."""


class StrategyFaultError(Exception):
    """Carries the reason of a strategy inside another one."""


def advance(strategy: Strategy, memory: Any, candle: Candle) -> tuple[Any, int | None, str]:
    """One guarded step: (new memory, intent, ""), or (old memory, None, why it failed).

    A foreign strategy that changes its memory in place fails, and the memory is as it was: it may be another
    event's, or this one's once more. Its candle is a copy, as others get the same one; changing that fails,
    too.
    """
    if strategy.vetted:
        try:
            after, intent = strategy.step(memory, candle)
        except Exception as error:
            return memory, None, _raised(error)
        return after, intent, ""
    guard = getattr(strategy, "guard", _plainly)
    before, problem, given = _bytes(memory), "", Candle(*astuple(candle))
    try:
        answer, problem = guard(_tried, strategy, memory, given)
        fault = describe(Reason.STRATEGY_NONSENSE, problem=problem) if problem else ""
    except BaseException as error:
        if is_interrupt(error):
            raise
        answer, fault = None, _raised(error)
    if not _equal(given, candle) and (problem or not fault):
        fault = describe(Reason.STRATEGY_NONSENSE, problem="candle_changed_in_place")
    if _bytes(memory) != before:
        memory = msgspec.msgpack.decode(before, type=strategy.memory)
        if problem or not fault:
            fault = describe(Reason.STRATEGY_NONSENSE, problem="memory_changed_in_place")
    if fault:
        return memory, None, fault
    assert answer is not None
    return answer[0], answer[1], ""


def _tried(strategy: Strategy, memory: Any, candle: Candle) -> tuple[Any, str]:
    """The answer, and what is wrong with it. Judging it runs a memory's own code, too."""
    answer = strategy.step(memory, candle)
    return answer, _nonsense(strategy, answer)


def _plainly(call: Callable[..., Any], *arguments: Any) -> Any:
    """For those that are no user's, and not yet vetted."""
    return call(*arguments)


def _equal(given: Any, candle: Candle) -> bool:
    """Without a word of foreign code: only what is exactly of our types is compared."""
    if type(given) is not Candle:
        return False
    try:
        found = astuple(given)
    except AttributeError:  # a field is gone
        return False
    return (*map(type, found),) == _CANDLE_TYPES and found == astuple(candle)


def _bytes(memory: Any) -> bytes:
    """b"" for what has none: then a step's answer has none either, and is refused for that."""
    try:
        return msgspec.msgpack.encode(memory)
    except Exception:  # whatever a foreign memory's own code raises
        return b""


def _raised(error: BaseException) -> str:
    """Why a step failed.

    The error's type, file and function, without its text (which may hold addresses or a set's order) and
    line (which Python versions count differently): a decision must be the same in every process.
    """
    if isinstance(error, StrategyFaultError):
        return str(error)
    if isinstance(error, OverlongError):
        return describe(Reason.STRATEGY_OVERLONG, limit_instructions=limits.MAX_STRATEGY_INSTRUCTIONS)
    if isinstance(error, HungError):
        return describe(Reason.STRATEGY_HUNG, limit_seconds=limits.MAX_CALL_S)
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{PurePath(code.co_filename).name}:{code.co_name}"
        trace = trace.tb_next
    return describe(Reason.STRATEGY_RAISED, error=type(error).__name__, at=place)


def _nonsense(strategy: Strategy, answer: Any) -> str:
    """What is wrong with an answer, "" when nothing is; one word each, as it ends in a reason's text."""
    if type(answer) is not tuple or len(answer) != 2:
        return f"answer_is_{type(answer).__name__}_not_pair"
    after, intent = answer
    if intent is not None:
        if type(intent) is not int:
            return f"intent_is_{type(intent).__name__}_not_int"
        if not -FULL <= intent <= FULL:
            return f"intent_beyond_{FULL}"
    return _unfit(strategy.memory, after)


def _unfit(kind: type[Any], memory: Any) -> str:
    if type(memory) is not kind:
        return f"memory_is_{type(memory).__name__}_not_{kind.__name__}"
    try:
        data = msgspec.msgpack.encode(memory)
        if len(data) > limits.MAX_MEMORY_BYTES:
            return f"memory_beyond_{limits.MAX_MEMORY_BYTES}_bytes"
        same = msgspec.msgpack.encode(msgspec.msgpack.decode(data, type=kind)) == data
    except Exception:  # whatever a foreign memory's own code raises
        same = False
    return "" if same else "memory_does_not_survive_msgpack"
