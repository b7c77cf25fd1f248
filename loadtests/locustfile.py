"""What `locust -f loadtests/locustfile.py --host http://127.0.0.1:8001` runs, with its web page or headless.

RINGLINE_LOADTEST_SHAPE=load takes users and times from the table of that name; without it the page (or
--users) decides. Several processes: `--processes 2`, or --master and --worker.
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import loadtests
except ImportError:  # started from a checkout, whose root Locust does not look into
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import loadtests  # noqa: F401

from loadtests import listeners  # noqa: F401 - joins itself to Locust's events
from loadtests.readers import FeedReader, QueryUser
from loadtests.table_shape import TableShape as _TableShape
from loadtests.table_shape import chosen_audit, chosen_shape
from loadtests.users import Attacker, DuplicateSender, StreamTrader, Trader

_shape = chosen_shape()
_audit_url, _token = chosen_audit()

if _audit_url:

    class Feed(FeedReader):
        """Of the audit that is known here."""

        audit_url, token = _audit_url, _token

    class Query(QueryUser):
        """Of the audit that is known here."""

        audit_url, token = _audit_url, _token


if _shape is not None:

    class TableShape(_TableShape):
        """The shape that the environment chose."""

        beside = 2 if _audit_url else 0


if _shape is not None and _shape.open_model:
    _per_s = _shape.per_user_s

    class Stream(StreamTrader):
        """At the rate of the open variant."""

        per_s = _per_s

    del Attacker, DuplicateSender, Trader
