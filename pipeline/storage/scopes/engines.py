"""The scope store that a configuration names."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pipeline import limits
from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.storage.scopes.redis import RedisScopeStore

MAX_URL_BYTES = 4096


def open_scopes(config: Config, environment: Mapping[str, str] = os.environ) -> RedisScopeStore:
    """For an agent. Raises MissingError when it cannot be had."""
    url = find_url(config, environment)
    return RedisScopeStore.open(url, config.agent.scopes_prefix, limits.SCOPES_TIMEOUT_MS / 1000)


def find_url(config: Config, environment: Mapping[str, str]) -> str:
    """The URL in `agent.scopes_url_file`, else in the variable `agent.scopes_url_env`. Never log it."""
    agent = config.agent
    if agent.scopes_url_file:
        where = f"agent.scopes_url_file {agent.scopes_url_file}"
        try:
            with open(agent.scopes_url_file, "rb") as stream:
                text = stream.read(MAX_URL_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is no UTF-8 text"
            raise MissingError(f"{where}: {reason}") from None
    else:
        where = f"environment variable {agent.scopes_url_env}"
        text = environment.get(agent.scopes_url_env, "").strip()
    if not text:
        raise MissingError(f"{where}: holds no URL, which agent.scopes = redis needs")
    return text
