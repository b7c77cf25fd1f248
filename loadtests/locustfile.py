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
from loadtests.table_shape import TableShape as _TableShape
from loadtests.table_shape import chosen_shape
from loadtests.users import Attacker, DuplicateSender, StreamTrader, Trader

_shape = chosen_shape()
if _shape is not None:

    class TableShape(_TableShape):
        """The shape that the environment chose."""


if _shape is not None and _shape.open_model:
    _per_s = _shape.per_user_s

    class Stream(StreamTrader):
        """At the rate of the open variant."""

        per_s = _per_s

    del Attacker, DuplicateSender, Trader
