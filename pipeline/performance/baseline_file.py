"""A baseline as a file: versioned JSON; read back, no more than a comparison needs is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.errors import MissingError, UsageError
from pipeline.performance.report import whole
from pipeline.performance.rounds import Round

SCHEMA_VERSION = 1


class Latency(Struct, frozen=True, kw_only=True):
    """What was timed (`measures`), beside which loop (`reference`)."""

    measures: str
    reference: str
    rounds: tuple[Round, ...]

    @property
    def costs(self) -> list[float]:
        return [item.cost for item in self.rounds]


class Execution(Struct, frozen=True, kw_only=True):
    manager: str


class Performance(Struct, frozen=True, kw_only=True):
    healthy: bool
    latency: Latency
    machine: dict[str, str | int] = {}


class Baseline(Struct, frozen=True, kw_only=True):
    """A stored baseline, as far as a comparison goes."""

    kind: Literal["baseline"]
    schema: int
    execution: Execution
    performance: Performance


_decoder = msgspec.json.Decoder(Baseline)


def document(baseline: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored and printed: the baseline itself, and which schema it has."""
    return {"kind": "baseline", "schema": SCHEMA_VERSION, **baseline}


def encode_baseline(baseline: Mapping[str, Any]) -> bytes:
    """Indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document(baseline)), indent=2) + b"\n"


def decode_baseline(data: bytes, name: str) -> Baseline:
    """Raises UsageError, naming `name`, for what is empty, no baseline, or of a version unknown here."""
    if not data.strip():
        raise UsageError(f"{name}: is empty; `ringline baseline --output FILE` writes one")
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: is no baseline: {error}") from None
    if found.schema != SCHEMA_VERSION:
        raise UsageError(f"{name}: has schema {found.schema}; this version reads {SCHEMA_VERSION}")
    return found


def read_baseline(path: Path) -> Baseline:
    """Raises MissingError when it cannot be read, UsageError when it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(limits.MAX_BASELINE_BYTES + 1)
    except OSError as error:
        raise MissingError(f"baseline {path}: cannot be read: {error.strerror or error}") from None
    if len(data) > limits.MAX_BASELINE_BYTES:
        raise UsageError(f"baseline {path}: has more than {limits.MAX_BASELINE_BYTES:,} bytes")
    return decode_baseline(data, f"baseline {path}")


def write_baseline(path: Path, baseline: Mapping[str, Any]) -> None:
    """JSON, or Markdown if the name ends in `.md`; folders are made. Raises MissingError when it cannot."""
    data = whole(baseline).encode() if path.suffix == ".md" else encode_baseline(baseline)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise MissingError(f"baseline {path}: cannot be written: {error.strerror or error}") from None
