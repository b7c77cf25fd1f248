"""Every bound of the operator in one place, each with its reason. Relations are asserted at import."""

from __future__ import annotations

# ---- what a Pipeline may ask for ------------------------------------------------------------------------
MAX_STAGES = 32
"""Stages of a Pipeline: the product has four; each costs about 50 µs of a tick."""
MAX_UPSTREAM = 8
"""Stages that send to one stage."""
MAX_REPLICAS = 1000
"""Replicas of a stage: telemetry tells 1,024 ordinals apart (pipeline.limits.MAX_ORDINAL)."""
MAX_BUDGET = MAX_STAGES * MAX_REPLICAS
MAX_NAME_CHARS = 63
"""A DNS label, which names of StatefulSets and Services are."""
MAX_LATENCY_SLAS = 8
"""Latencies judged for one stage: each is a merge of every pod's sketch, three windows each tick."""
MAX_EVENT_CHARS = 64
MAX_SLA_MS = 3_600_000
"""An hour: above it an SLA is none."""
MIN_PERCENTILE_BASIS_POINTS = 100
MAX_PERCENTILE_BASIS_POINTS = 9_999
"""p99.99: one more digit would need 100,000 calls within the window to mean anything."""

# ---- what a collector may answer ------------------------------------------------------------------------
MAX_LAG_MS = 7 * 86_400_000
"""A week: journals keep less, so a greater lag is a broken clock."""
MAX_RATE_A_SECOND = 10_000_000
"""Messages a pod reports for a second of a window: a hundred times what a worker can do."""
MAX_WORKERS_A_POD = 64
"""Time blocked within a window cannot exceed the window times so many (pipeline.limits.MAX_WORKERS)."""
MAX_REPLICAS_A_SNAPSHOT = 4096
"""Workers one collector speaks about: its own and every one that they send to."""
CLOCK_SKEW_MS = 60_000
"""A collector's wall clock further off than this is told of; ages are taken on our own clock anyway."""

# ---- what the policy remembers --------------------------------------------------------------------------
HISTORY_S = 60
"""Seconds of history for lowering: the longest window of a collector."""
MAX_SAMPLES = 30
"""Weight of the past in a learned capacity, in samples of a second: older ones fade."""
MAX_STARTS = 50
"""Start times remembered for each stage: the p99 of so few is their maximum, which errs on the safe side."""
MAX_RATE_MILLI = MAX_RATE_A_SECOND * 1000 * MAX_REPLICAS

LEARN_WINDOW_US = 1_200_000
"""A sample of capacity wants the same replicas and waiting input for all of its second, and a bit for the
way."""
SAMPLE_EVERY_US = 900_000
"""Samples a second apart are independent; ticks come more often."""
SHOWN_WINDOW_US = 5_500_000
"""What unsaturated replicas have shown is taken over five seconds with the same replicas."""
LEAST_FOR_RATIO = 600
"""Messages of a minute from which the ratio between two stages is told: 4 % of noise."""
MOST_RATIO_PER_MILLE = 100_000
"""A stage that sends on a hundred messages for one."""
MIN_STARTS = 3
"""Start times seen before they are believed instead of `startMs`."""
WAITING_MS = 200
"""Lag from which input waits, for a stage without a lag SLA: well above a message's way through a stage."""
LEAST_WAITING_MS, MOST_WAITING_MS = 50, 500
"""A quarter of the lag SLA otherwise, within these."""
LOW_COUNT_S = 5
"""Seconds that a lag must last to be believed when too few messages pass for one second to prove it."""
SLOPE_PER_MILLE = 800
"""The steepest rise of a lag (ms a second) from which a load is derived: at 1000 nothing is handled and the
load cannot be told."""
NOISE_SIGMAS = 2
"""Standard deviations of a Poisson count by which the load must exceed the capacity to raise ahead of a
breach."""

# ---- the simulation -------------------------------------------------------------------------------------
MAX_TRACE_MINUTES = 44_640
"""A month: a simulated day takes about a minute for each autoscaler."""
MAX_TRACE_COUNT = 600_000_000
"""Messages a minute."""

# ---- what the policy says -------------------------------------------------------------------------------
MAX_IGNORED_NAMES = 10
"""Pods named in a condition: a message of conditions has at most 32,768 bytes."""

assert MIN_PERCENTILE_BASIS_POINTS < MAX_PERCENTILE_BASIS_POINTS < 10_000
assert MAX_REPLICAS <= 1024
