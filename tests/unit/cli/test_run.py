from __future__ import annotations

import pytest

from pipeline.cli.app import run
from pipeline.cli.run import with_workers
from pipeline.config import Config, load
from pipeline.errors import ConfigError, UsageError


def test_workers_of_a_stage_are_set_and_everything_else_stays() -> None:
    config = load(assignments=["links.credit=512"])
    changed = with_workers(config, ("agent=2", "exec=3"))
    assert (changed.agent.workers, changed.exec.workers, changed.links.credit) == (2, 3, 512)
    assert with_workers(config, ()) is config


@pytest.mark.parametrize("text", ["agent", "agent=", "agent=x", "gateway=2", "=2", "agent=-1", "agent=²"])
def test_what_is_no_stage_and_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected STAGE=N, with agent, exec, audit as stage"):
        with_workers(Config(), (text,))


def test_numbers_of_workers_are_checked_like_any_configuration() -> None:
    with pytest.raises(ConfigError, match="SQLite allows one writer"):
        with_workers(Config(), ("audit=2",))
    with pytest.raises(ConfigError, match=r"agent\.workers = 65: .* \(allowed: 1 to 64\)"):
        with_workers(Config(), ("agent=65",))


@pytest.mark.parametrize("options", [["--rate", "0"], ["--limit", "0"], ["--rate", "fast"]])
def test_a_wrong_option_is_reported_before_anything_starts(
    options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", *options]) == 2
    assert capfd.readouterr().err.startswith(f"ringline: invalid value for '{options[0]}'")
