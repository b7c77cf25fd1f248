"""A scope store in Redis, shared by every process: one Lua call a question.

The call counts, answers, notes and prunes in one go, by the event's time and never by the server's. Answers
are kept, so that a question repeated after a lost reply gets the same one. Whoever opens the store notes its
epoch: when the server comes back without its memory the epoch is gone, and nothing is answered until the
process is started anew. Give the server `appendonly yes`, or it forgets with each restart.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Self

from pipeline import limits
from pipeline.errors import MissingError
from pipeline.storage.scopes.redis_script import LIMB, SCRIPT
from pipeline.storage.scopes.store import (
    OFF,
    Answer,
    Ask,
    Claim,
    ForgottenAnswerError,
    Held,
    Refusal,
    Rule,
    ScopeStoreError,
    check_question,
)

ATTEMPTS = 2
"""A connection that was cut while idle is noticed by the first; the same question twice is no harm."""


class RedisScopeStore:
    """A `ScopeStore`. Keys begin with `{prefix}`, in one slot of a cluster."""

    def __init__(self, client: Any, prefix: str, epoch: str) -> None:
        self._client = client
        self._prefix = "{" + prefix + "}:"
        self._epoch = epoch
        self._script: Callable[..., Any] = client.register_script(SCRIPT)

    @classmethod
    def open(cls, url: str, prefix: str = "ringline", timeout_s: float = 1.0) -> Self:
        """`url` may hold a password: it is never logged. Raises ScopeStoreError when the server is away."""
        try:
            redis = importlib.import_module("redis")
        except ImportError as error:
            raise MissingError(f"redis cannot be loaded ({error}): pip install 'ringline[redis]'") from None
        try:
            client = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, decode_responses=True
            )
        except ValueError:
            raise ScopeStoreError("scope store: the URL is no Redis URL") from None
        name = "{" + prefix + "}:epoch"
        try:
            client.set(name, uuid.uuid4().hex, nx=True)
            epoch = str(client.get(name))
            memory = client.info("memory")
        except redis.RedisError as error:
            client.close()
            raise ScopeStoreError(f"scope store in Redis: {_reason(error)}") from None
        policy = memory.get("maxmemory_policy", "noeviction")
        if memory.get("maxmemory") and policy != "noeviction":
            client.close()
            raise ScopeStoreError(
                f"scope store in Redis: maxmemory-policy is {policy}: it would forget entries; set noeviction"
            )
        return cls(client, prefix, epoch)

    def enter(self, ask: Ask, claims: Sequence[Claim], *, take: bool = True) -> Answer:
        """See `ScopeStore.enter`."""
        check_question(ask, claims)
        return self._ask(ask, "enter" if take else "judge", claims)

    def leave(self, ask: Ask, scopes: Sequence[str]) -> None:
        """See `ScopeStore.leave`."""
        claims = [Claim(scope, 0) for scope in scopes]
        check_question(ask, claims)
        self._ask(ask, "leave", claims)

    def close(self) -> None:
        self._client.close()

    def _ask(self, ask: Ask, what: str, claims: Sequence[Claim]) -> Answer:
        prefix = self._prefix
        keys = [f"{prefix}epoch", f"{prefix}answers:{ask.key}"]
        field = f"{ask.key_seq}:{ask.part}"
        arguments: list[str | int] = [
            self._epoch, field, ask.key_seq, ask.at_us, what, limits.SCOPE_ANSWERS_A_KEY,
            limits.MAX_WINDOW_TRADES, limits.MAX_SCOPE_TIME_US,
        ]  # fmt: skip
        for claim in claims:
            keys += [f"{prefix}window:{claim.scope}", f"{prefix}scope:{claim.scope}"]
            most = divmod(claim.max_notional, LIMB) if claim.max_notional != OFF else (OFF, 0)
            own = divmod(claim.notional, LIMB)
            arguments += [
                claim.window_us, claim.room, *most, *own, claim.spacing_us, claim.cooldown_us,
            ]  # fmt: skip
        return _decoded(self._call(keys, arguments), ask)

    def _call(self, keys: list[str], arguments: list[str | int]) -> str:
        from redis import ConnectionError, RedisError, TimeoutError  # noqa: A004 - not the built-in ones

        for attempt in range(1, ATTEMPTS + 1):
            try:
                return str(self._script(keys=keys, args=arguments))
            except (ConnectionError, TimeoutError) as error:
                if attempt == ATTEMPTS:
                    raise ScopeStoreError(f"scope store in Redis: {_reason(error)}") from None
            except RedisError as error:
                raise ScopeStoreError(f"scope store in Redis: {_reason(error)}") from None
        raise AssertionError("unreachable")


def _decoded(text: str, ask: Ask) -> Answer:
    if text == "epoch":
        raise ScopeStoreError("scope store in Redis: it has lost its memory since this process was started")
    if text == "forgotten":
        raise ForgottenAnswerError(
            f"scope store: the answer to event {ask.key_seq} of {ask.key} is forgotten"
        )
    given, *scopes = text.split("/")
    held = []
    for scope in scopes:
        used, high, low = map(int, scope.partition(";")[0].split(","))
        held.append(Held(used, high * LIMB + low, _refusals(scope)))
    return Answer(_refusals(given), tuple(held))


def _refusals(text: str) -> tuple[Refusal, ...]:
    found = []
    for part in text.split(";")[1:]:
        claim, rule, retry_at_us, high, low = map(int, part.split(","))
        found.append(Refusal(claim, Rule(rule), retry_at_us, high * LIMB + low))
    return tuple(found)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
