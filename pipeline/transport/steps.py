"""What a stage does with a key, as the protocol sees it: a state, a step, and how to get the state back."""

from __future__ import annotations

from typing import Any, Protocol

from pipeline.delivery import Delivery, Tail


class Steps(Protocol):
    """Agent and exec implement this; `state` is theirs alone (immutable: a failed step changes nothing)."""

    def origin(self, key: str) -> Any:
        """The state before a key's first event."""

    def rebuild(self, tail: Tail) -> Any:
        """The state after `tail.last`: the stored one plus recorded effects. Never decides anything."""

    def fits(self, state: Any, delivery: Delivery) -> bool:
        """Whether `delivery`, the next key_seq of `state`, builds on the digest that `state` has.

        Exec compares the agent's digest: a decision made on another history must not pass.
        """

    def step(self, state: Any, delivery: Delivery) -> Any:
        """Does the stage's work on `delivery`, filling its fields in place; returns the state after it."""


class Hand(Protocol):
    """Where a worker notes what it is stepping, so that its next incarnation can name it."""

    def note(self, key: str, key_seq: int) -> None: ...

    def clear(self) -> None: ...


class NoHand:
    """Notes nothing."""

    def note(self, key: str, key_seq: int) -> None: ...

    def clear(self) -> None: ...
