"""The gates' limits, and a TOML file that sets others."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pipeline.errors import ConfigError, MissingError

Positive = Annotated[float, Meta(gt=0, le=1e9)]
Percent = Annotated[float, Meta(ge=0, le=100)]


class Gates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as passed; the defaults are what the product promises."""

    p95_ms: Positive = 100.0
    """95 % of the events are answered within this, from when they were meant to be sent."""
    errors_percent: Percent = 0.1
    """Of all requests. Shed (503 or 429 with Retry-After) is no error."""
    throughput_per_s: Positive = 400.0
    """Requests answered as expected, where the shape plans more than this."""
    achieved_percent: Percent = 98.0
    """Of the planned requests, answered as expected."""
    leak_mb_per_h: Positive = 10.0
    """Growth of each process's memory after its warm-up."""
    leak_warm_up_s: Annotated[float, Meta(ge=0, le=1e6)] = 900.0
    """Caches, pools and the journal's table of what was seen (`journal.retention_s`) fill before this."""
    leak_least_s: Positive = 1800.0
    """A shorter stretch after the warm-up tells nothing about an hour."""
    drain_s: Positive = 10.0
    """After the last request everything is audited within this."""
    recover_s: Positive = 5.0
    """After a spike's end the p95 of a second is within `p95_ms` again by then."""


def load_gates(file: Path | None) -> Gates:
    """The gates of a TOML file, every key optional; the defaults without one.

    Raises MissingError for a file that cannot be read and ConfigError for one that is wrong.
    """
    if file is None:
        return Gates()
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
        return msgspec.convert(tree, Gates)
    except OSError as error:
        raise MissingError(f"gates {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError([f"gates {file}: {error}"]) from None
