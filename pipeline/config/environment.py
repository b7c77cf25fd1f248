"""Names in the environment that look like ours and mean nothing: mostly a key that was mistyped. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

import msgspec

from pipeline.config.load import PREFIX, environment_names
from pipeline.config.schema import Config

OTHERS = frozenset(
    PREFIX + name
    for name in (
        "AUDIT_DSN", "AUDIT_TOKEN", "AUDIT_URL", "BACKTEST", "CONFIG", "GATES", "GATEWAY_PARSER",
        "PARENT_PID", "READY_FD", "SCOPES_URL", "SECRET_FILE", "SOURCE", "TELEMETRY", "VALUATION_DSN",
    )
)  # fmt: skip
"""Read by us, but no keys of the configuration."""
_OTHER_PROGRAMS = (PREFIX + "TEST_", PREFIX + "LOADTEST_", PREFIX + "OPERATOR_")
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)$")
"""What Kubernetes adds for a Service that is called ringline-something."""


def unknown_names(environment: Mapping[str, str], config: Config) -> list[str]:
    """A sentence for each name that begins with RINGLINE_ and is neither a key, nor one of `OTHERS`, nor
    named in `config` itself, as a variable that holds a secret is."""
    keys = environment_names()
    named = msgspec.json.encode(config).decode()
    return [
        f"{name}: in the environment, but no key of the configuration{_meant(name, keys)}"
        for name in sorted(environment)
        if name.startswith(PREFIX)
        and name not in keys
        and name not in OTHERS
        and not name.startswith(_OTHER_PROGRAMS)
        and not _SERVICE_LINK.search(name)
        and f'"{name}"' not in named
    ]


def _meant(name: str, keys: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, keys, 1, 0.8)
    return f"; did you mean {close[0]}?" if close else ""
