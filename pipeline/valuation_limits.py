"""Every bound of the valuation, as `limits` has those of all the rest."""

from __future__ import annotations

from pipeline.limits import KIB, MIB

MAX_VALUATION_BARS = 1000
"""Candles of a symbol kept for pricing models: as many as a strategy may look back."""
MIN_VALUATION_LOOP_MS = 10
"""Values and snapshots are recorded at most a hundred times a second: oftener is a stream, not a record."""
MAX_DOMAINS = 1000
MAX_POSITIONS = 10_000
"""Books at one time, each valued every `valuation.nav_every_ms`; positions of one: a large index fund's."""
MAX_BATCH_DOMAINS = 64
MAX_BATCH_POSITIONS = 20_000
MAX_VALUATION_BODY_BYTES = 2 * MIB
MAX_POSTED_CANDLES = 1000
"""Of one request: such a valuation's answer takes 3 MB, a book of 10,000 positions 1 MB, a candle 30 µs."""
MAX_MARKED_SYMBOLS = 100_000
"""Symbols with a mark, as far as they are posted: with 64 bars each about 1 GB at most."""
VALUATION_FEED_PAUSE_MIN_MS = 200
VALUATION_FEED_PAUSE_MAX_MS = 5_000
"""Before the feed is dialled again, doubled each time."""
VALUATION_SLICE = 250
VALUATION_FEED_ROWS = 16
MAX_VALUATION_BEHIND_ROWS = 1_000
"""So few rows behind, the own book is that of a moment ago; one that is further behind is not valued."""
"""Positions valued, rows or candles taken, before the event loop gets its turn: about a millisecond."""
VALUATION_TEXT_SLICE = 64
"""Things of a body decoded, or put into an answer, in one piece: a mark with all models takes 20 µs."""
MAX_VALUATION_FEED_BYTES = 16 * MIB
VALUATION_SEND_BUFFER_BYTES = 512 * KIB
"""One message of the feed, with a flatten of thousands of orders; an answer that leaves in one turn."""
VALUATION_PROBE_MS = 10
VALUATION_SWITCH_US = 500
"""The event loop's lag is probed so often; another thread may hold the interpreter so long while it waits."""
MAX_NAV_PENDING = 100_000
MAX_NAV_ROWS = 10_000
"""Values that wait for an engine that is away, an hour of 27 domains a second; recorded ones in an answer."""
VALUATION_STORE_S = 5
"""An engine that does not answer by then is away."""
MAX_NAV_STORED = 5_000
"""Values stored in one call, so that many that have waited take no longer than a call may."""
MODEL_CALL_MS = 100
"""A question to a user's model may take so long, without what it waited for a processor: twice what the most
instructions take."""
MAX_MODEL_STRIKES = 3
MODEL_STRIKES_CALLS = 1000
"""Longer ones, and ones over the instructions, among so many questions: then it is not asked any more."""
MAX_MODEL_FRAME_BYTES = MIB
"""One question with all its bars takes 60 KB, an answer 100 bytes."""
VALUATION_TURN_MS = 5
"""Rows or candles are taken so long, `VALUATION_FEED_ROWS` at most, before the event loop gets its turn."""
