"""Every bound of the load tests in one place, each with its reason."""

from __future__ import annotations

MAX_FAULTS = 20
"""Kinds of errors told apart in a second: more tell a reader nothing new."""
MAX_FAULT_CHARS = 160
"""A line in a report."""
MAX_RETRIES = 5
"""Attempts after the first, as a patient sender makes them; the event is given up then."""
RETRY_AFTER_LEAST_S = 0.5
"""An event that was not answered at all is sent again after this long."""
RETRY_AFTER_MOST_S = 10.0
"""A longer Retry-After is not waited for: the test would be over."""
MAX_RETRYING = 2_000
"""Events of one process that wait for another attempt; more are given up, so that memory stays bounded."""
MAX_IN_FLIGHT = 512
"""Requests of one stream of arrivals that wait for an answer; more wait for their turn, timed from when they
were meant to go."""
ANSWER_S = 30.0
"""As long as Standard Webhooks lets a sender wait."""
RECENT_S = 30
"""Seconds of which a sketch is kept: a worker's report comes within three."""
STOP_S = 31
"""Requests in flight when the test ends are waited for this long: until the last is answered or given up, so
that of each event that was sent it is known what became of it."""
START_S = 60.0
"""A pipeline or a generator that is not ready by then never will be."""
DEAD_S = 10
"""This many seconds in a row in which nothing is answered while something is planned: it is down."""
SAMPLE_EVERY_S = 1.0
MEMORY_EVERY_S = 5.0
"""Proportional memory takes the kernel milliseconds a process to add up."""
DRAIN_MOST_S = 60.0
"""How long after the last request the pipeline is watched; the gate's own limit is far below."""
DRAIN_LOOK_S = 0.05
AUDIT_PAGE_ROWS = 10_000
"""As many as `ringline audit query` answers at once."""
AUDIT_TRIES = 10
AUDIT_RETRY_S = 1.0
"""An audit that is restarted answers again within so long: its HTTP is asked so often, so far apart."""
AUDIT_MOST_S = 3600.0
"""Two hours at 250 events/s are 1.8 million rows to read and verify."""
MAX_BAD_IDS = 5
"""Named in a sentence; the count says the rest."""
