"""A test's own baseline: its body timed in rounds and judged by the rule of `ringline baseline diff`.

    @pytest.mark.performance(max_regression=0.2, rounds=20, calls=50)
    def test_that_parsing_stays_fast(): parse(BODY)

Baselines of all marked tests are in one JSON file, which belongs into version control.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.errors import MissingError, UsageError
from pipeline.performance.baseline_file import Latency
from pipeline.performance.diff import diff_latencies, sentence
from pipeline.performance.reference import NAME
from pipeline.performance.rounds import PASSES, take_rounds
from pipeline.performance.rule import MARGIN, MIN_ROUNDS

SCHEMA_VERSION = 1
FILE_NAME = "performance-baseline.json"
ROUNDS = 20
CALLS = 50
MIN_CALLS = 20
"""Below it a p95 is the maximum."""


class Mark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `@pytest.mark.performance(...)` takes.

    `max_regression` 0.2: a p95 worse by more than 20 % fails. Each of the `calls` of a round counts as the
    least of `passes`, which hides what is slow only now and then; `passes=1` shows it, and is noisier.
    """

    max_regression: float = MARGIN
    rounds: int = ROUNDS
    calls: int = CALLS
    passes: int = PASSES


class Marks(Struct, kw_only=True):
    """The file: a baseline for each test id."""

    kind: Literal["performance-marks"] = "performance-marks"
    schema: int = SCHEMA_VERSION
    tests: dict[str, Latency] = {}


def checked_mark(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mark:
    """Raises UsageError naming every argument that does not fit."""
    faults = [f"{value!r}: name it; all arguments are keywords" for value in args]
    known = set(Mark.__struct_fields__)
    faults += [f"{name}: unknown; here are {', '.join(sorted(known))}" for name in set(kwargs) - known]
    mark = Mark(**{name: value for name, value in kwargs.items() if name in known})
    margin = mark.max_regression
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 < margin <= 10:
        faults.append(f"max_regression = {margin!r}: must be above 0, at most 10 (0.2 is 20 %)")
    for name, value, least, most in (
        ("rounds", mark.rounds, MIN_ROUNDS, limits.MAX_BASELINE_ROUNDS),
        ("calls", mark.calls, MIN_CALLS, limits.MAX_BASELINE_CALLS),
        ("passes", mark.passes, 1, 100),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            faults.append(f"{name} = {value!r}: must be a whole number from {least} to {most:,}")
    if faults:
        raise UsageError("\n".join(f"@pytest.mark.performance: {fault}" for fault in faults))
    return mark


def measure(call: Callable[[], object], mark: Mark) -> Latency:
    """Times the body of a test."""
    rounds = take_rounds(lambda calls: [call] * calls, mark.rounds, mark.calls, mark.passes)
    return Latency(measures="one call of the test", reference=NAME, rounds=rounds)


def judge(path: Path, test_id: str, found: Latency, mark: Mark) -> str:
    """Why the test fails; "" when it is not slower than its baseline beyond margin and noise."""
    stored = read_marks(path).tests.get(test_id)
    again = "run pytest with --performance-update to store one"
    if stored is None:
        return f"no baseline of this test in {path}: {again}"
    if stored.reference != found.reference:
        return f"the baseline in {path} is beside another reference loop, {stored.reference!r}: {again}"
    result = diff_latencies(stored, found, mark.max_regression)
    return "" if result.ok else sentence(result)


def read_marks(path: Path) -> Marks:
    """Empty when there is no file yet. Raises UsageError when it is another kind of file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Marks()
    except OSError as error:
        raise MissingError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        marks = msgspec.json.decode(data, type=Marks)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no file of performance baselines: {error}") from None
    if marks.schema != SCHEMA_VERSION:
        raise UsageError(f"{path}: has schema {marks.schema}; this version reads {SCHEMA_VERSION}")
    return marks


def store(path: Path, test_id: str, found: Latency) -> None:
    """Puts one test's baseline into the file; processes that do so at the same time take turns."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MissingError(f"{path}: cannot be written: {error.strerror or error}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        marks = read_marks(path)
        marks.tests[test_id] = found
        marks.tests = dict(sorted(marks.tests.items()))
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(marks), indent=1) + b"\n")
        beside.replace(path)
    except OSError as error:
        raise MissingError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        os.close(folder)
