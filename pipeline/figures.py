"""The one shape that every bench prints, and how people read it."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from pipeline.machine import Machine


class Result(Struct, frozen=True, kw_only=True):
    """One figure. `against` names the limit or peer that `ratio` (value by it) is to; `target` is what is
    asked for and `met` whether it is reached, both None for a figure that is only shown.
    """

    name: str
    value: float | None
    """None: it was not measured; `against` may say why."""
    unit: str
    against: str
    ratio: float | None = None
    target: float | None = None
    met: bool | None = None


class Bench(Struct, frozen=True, kw_only=True):
    """All figures of one bench, with what they were measured on."""

    machine: Machine
    versions: dict[str, str]
    results: tuple[Result, ...]

    @property
    def met(self) -> bool:
        """Whether every target is reached."""
        return all(result.met is not False for result in self.results)


def at_most(name: str, value: float | None, unit: str, target: float, against: str, peer: float) -> Result:
    """A figure that should not exceed `target`; a missing one has missed it."""
    met = value is not None and value <= target
    return _result(name, value, unit, against, peer, target, met)


def at_least(name: str, value: float | None, unit: str, target: float, against: str, peer: float) -> Result:
    """A figure that should reach `target`; a missing one has missed it."""
    met = value is not None and value >= target
    return _result(name, value, unit, against, peer, target, met)


def exactly(name: str, value: float, unit: str, target: float, against: str) -> Result:
    """A count that must be `target`, no more and no less."""
    return _result(name, value, unit, against, target, target, value == target)


def shown(name: str, value: float | None, unit: str, against: str, peer: float | None = None) -> Result:
    """A figure without a target."""
    return _result(name, value, unit, against, peer, None, None)


def skipped(name: str, unit: str, why: str) -> Result:
    """A figure that could not be measured here, and why; its target is neither met nor missed."""
    return _result(name, None, unit, f"skipped: {why}", None, None, None)


def encode_bench(bench: Bench) -> bytes:
    """Indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(bench), indent=2) + b"\n"


def _result(
    name: str,
    value: float | None,
    unit: str,
    against: str,
    peer: float | None,
    target: float | None,
    met: bool | None,
) -> Result:
    return Result(
        name=name,
        value=_rounded(value),
        unit=unit,
        against=against,
        ratio=_rounded(value / peer) if value is not None and peer else None,
        target=_rounded(target),
        met=met,
    )


def _rounded(value: float | None) -> float | None:
    """Four significant digits: more are noise. Whole numbers stay."""
    return value if value is None or value == int(value) else float(f"{value:.4g}")
