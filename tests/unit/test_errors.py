from __future__ import annotations

import pytest

from pipeline import errors
from pipeline.errors import (
    EXIT_MISSING,
    EXIT_NO,
    EXIT_OK,
    EXIT_USAGE,
    ConfigError,
    DamagedError,
    FrameError,
    InvalidEventError,
    MissingError,
    RinglineError,
    UsageError,
)


def test_exit_codes_are_the_four_of_the_contract() -> None:
    assert (EXIT_OK, EXIT_NO, EXIT_USAGE, EXIT_MISSING) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (RinglineError, EXIT_NO),
        (FrameError, EXIT_NO),
        (UsageError, EXIT_USAGE),
        (MissingError, EXIT_MISSING),
        (DamagedError, EXIT_MISSING),
    ],
)
def test_an_error_knows_the_exit_code_of_its_command(kind: type[RinglineError], code: int) -> None:
    assert kind("what").exit_code == code
    assert str(kind("what")) == "what"


def test_all_errors_of_ours_have_one_base() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert all(issubclass(kind, RinglineError) for kind in kinds if issubclass(kind, Exception))


def test_a_configuration_error_is_a_line_for_each_fault() -> None:
    error = ConfigError(["one = 1: too small", "two = 2: too large"])
    assert str(error) == "one = 1: too small\ntwo = 2: too large"
    assert error.faults == ["one = 1: too small", "two = 2: too large"]
    assert error.exit_code == EXIT_USAGE


def test_an_invalid_event_names_its_field() -> None:
    error = InvalidEventError("price", "'1e5' is not a decimal number")
    assert (error.field, error.detail) == ("price", "'1e5' is not a decimal number")
    assert str(error) == "price: '1e5' is not a decimal number"
    assert error.exit_code == EXIT_USAGE
