from __future__ import annotations

import pytest

from pipeline.config import resolve
from pipeline.config.check_links import exposed_links
from pipeline.config.hosts import is_loopback
from pipeline.errors import ConfigError


def test_links_off_loopback_need_a_key_unless_somebody_opts_out() -> None:
    exposed = {"audit": {"host": "0.0.0.0"}}
    with pytest.raises(ConfigError) as raised:
        resolve(exposed)
    assert "audit.host = '0.0.0.0': links that others than this machine reach need links.key_file" in str(
        raised.value
    )
    assert resolve({**exposed, "links": {"key_file": "x"}}).links.curve == "auto"
    assert resolve({**exposed, "links": {"key_env": "X"}}).links.curve == "auto"
    config = resolve({**exposed, "links": {"curve": "off"}})
    assert exposed_links(config) == {"audit.host": "0.0.0.0"}


def test_keys_that_are_asked_for_must_be_named_once() -> None:
    with pytest.raises(ConfigError, match=r'links.curve = "on": needs links.key_file or links.key_env'):
        resolve({"links": {"curve": "on"}})
    with pytest.raises(ConfigError, match=r"links.key_env: not beside links.key_file"):
        resolve({"links": {"key_env": "X", "key_file": "x"}})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "[::1]", "localhost"])
def test_this_machine_alone_reaches(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "agent.example", "localhost.example"])
def test_others_reach(host: str) -> None:
    assert not is_loopback(host)
