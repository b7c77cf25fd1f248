"""Every bound of the product in one place, each with its reason. Relations are asserted at import."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# ---- intake ---------------------------------------------------------------------------------------------
MAX_BODY_BYTES = 256 * KIB
"""Default and ceiling of one request body: a candle takes 200 bytes, an alert rarely 4 KiB."""
MAX_SYMBOL_CHARS = 32
"""The longest listed option symbol has 21 characters; the key is repeated in every message and row."""
MAX_NAME_CHARS = 64
"""Strategy, source and worker names: they become metric labels and file names."""
MAX_WEBHOOK_ID_CHARS = 255
"""As Stripe and the IETF Idempotency-Key draft have it."""
MAX_SECRETS_A_SOURCE = 8
"""Rotation needs two; each costs one HMAC on a forged request."""
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64
"""Standard Webhooks: 24 to 64 random bytes."""
DEFAULT_TOLERANCE_S = 300
"""Standard Webhooks: a signature is good for five minutes either way."""

# ---- numbers --------------------------------------------------------------------------------------------
MAX_SCALE = 8
"""Decimals of a price or quantity: a satoshi has 8."""
MAX_SCALED = 10**15
"""A scaled price or quantity: fits a 64-bit word with room for sums of 9,000 of them."""
MAX_NOTIONAL = 2**63 - 1
"""price × quantity, scaled by both: stored as a 64-bit word; an order above it is rejected."""
MAX_DECIMAL_CHARS = 32
"""A decimal string at the edge: 16 digits either side of the point is beyond any instrument."""
MAX_EVENT_TIME_US = 4_102_444_800_000_000
"""2100-01-01: later is a mistake in the unit (milliseconds taken for microseconds), not a time."""

# ---- links ----------------------------------------------------------------------------------------------
MAX_FRAME_BYTES = 8 * MIB
"""One ZeroMQ frame: a batch of messages; a state reply with its rows fits many times."""
MAX_BATCH_MESSAGES = 256
"""Messages packed in one frame: beyond this the per-frame cost is already amortised."""
MAX_CREDIT = 4096
"""Messages in flight on one link; bounds every queue behind it."""
KEY_SHARE = 4
"""A key may hold at most a quarter of a link's credit, so a hot key never starves the others."""
MAX_WORKERS = 64
"""Workers of one stage on one machine; port + 10·k must stay below 65,536 and clear of other stages."""
DEATHS_UNTIL_DEAD_LETTER = 3
"""Distinct deaths on one event before it is given up: one is an accident, two a coincidence."""
MAX_BACKOFF_MS = 200
"""Pause before a key is sent again: 2, 4 … 200 ms while nothing of it settles (LINKS.md)."""

# ---- journal --------------------------------------------------------------------------------------------
MAX_RECORD_BYTES = MAX_BODY_BYTES + 64 * KIB
"""A journal record: the event, its headers and, for a control event, one part for each key."""
MIN_SEGMENT_BYTES = 64 * KIB
MAX_SEGMENT_BYTES = 1 * GIB
MIN_JOURNAL_SEGMENTS = 4
"""`journal.max_bytes` must hold this many segments, or compaction has no room to copy forward."""

# ---- audit ----------------------------------------------------------------------------------------------
MAX_AUDIT_BATCH = 1024
"""Rows of one transaction: 64 already reach 64 k rows/s on SQLite; more only adds latency."""
STATE_EVERY_ROWS = 64
"""States are stored every Nth row of a key; rebuilding applies at most N − 1 recorded effects."""

# ---- telemetry ------------------------------------------------------------------------------------------
RING_ENTRY_BYTES = 32
DEFAULT_RING_ENTRIES = 128 * 1024
MIN_RING_ENTRIES = 64
MAX_RING_ENTRIES = 1 << 24
MAX_EVENT_ID = 4095
"""24 bits would fit in an entry, but every reader keeps a lookup table of this length for each stage."""
MAX_SERIES = 256
"""Latencies kept apart: stages times the events each records; a row of buckets takes 41 KiB when used."""
MAX_COUNTERS = 4096
"""Counters kept apart: worker, event and what it was counted for."""
MAX_DURATION_NS = 1 << 50
"""13 days: longer is a wrong clock or a wrong unit, and thousands of them would overflow a 64-bit sum."""
MAX_SAMPLING_WEIGHT = 4096
"""Calls one kept entry may stand for; a rarer sample tells nothing about a tail."""
MAX_ORDINAL = 1024
"""Replicas of a stage that telemetry tells apart; a higher ordinal in an entry is a mistake."""
MAX_RINGS = 4096
"""Rings one collector drains: each takes two file descriptors and an address range."""
MAX_OPEN_STARTS = 1024
"""Open STARTs remembered for one ring: a writer nests a few deep; more means ENDs that never come."""
MAX_REMEMBERED_DEAD = 64
"""Dead writers a snapshot still names."""
MAX_STREAMS = 64
"""Clients of /v1/stream at one time; each costs a socket and a copy of the newest snapshot's reference."""

# ---- processes ------------------------------------------------------------------------------------------
IN_HAND_BYTES = 256
"""The note of what a worker steps right now: a key (≤ 4·32 bytes of UTF-8) and two numbers."""
DRAIN_S = 10
"""A worker that was asked to leave and has not drained by then leaves anyway: the journal has it all."""

assert MAX_BODY_BYTES < MAX_RECORD_BYTES < MAX_FRAME_BYTES
assert MIN_SEGMENT_BYTES <= MAX_SEGMENT_BYTES
assert 4 * MAX_SYMBOL_CHARS + 32 <= IN_HAND_BYTES
assert DEFAULT_RING_ENTRIES & (DEFAULT_RING_ENTRIES - 1) == 0
assert MAX_SCALED * 9_000 < 2**63
