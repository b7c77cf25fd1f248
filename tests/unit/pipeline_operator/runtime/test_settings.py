"""What the command line may say."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline_operator.runtime.settings import own_identity, run_settings


def test_namespaces_are_a_list_without_repeats() -> None:
    assert run_settings(" a, b,a,,c ", None).namespaces == ("a", "b", "c")
    assert run_settings("", "trading").namespaces == ("trading",)


@pytest.mark.parametrize(
    ("text", "fault"),
    [("", "none given"), ("Trading", "'Trading' is no name"), ("a/b", "no name"), ("*", "no name")],
)
def test_what_is_no_namespace_is_one_clear_line(text: str, fault: str) -> None:
    with pytest.raises(UsageError, match=f"--namespaces: .*{fault}"):
        run_settings(text, None)


@pytest.mark.parametrize("name", ["One", "a_b", "-", "x" * 64])
def test_what_is_no_name_of_an_operator_is_one_clear_line(name: str) -> None:
    with pytest.raises(UsageError, match=r"--name: .* is no name of an operator"):
        run_settings("trading", None, name=name)
    assert run_settings("trading", None, name="one").name == "one"


def test_too_many_namespaces_are_refused() -> None:
    with pytest.raises(UsageError, match="65 given, at most 64"):
        run_settings(",".join(f"n{number}" for number in range(65)), None)


def test_every_start_is_another_holder() -> None:
    assert own_identity() != own_identity()
