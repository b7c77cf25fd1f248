"""Every bound of the operator in one place, each with its reason. Relations are asserted at import."""

from __future__ import annotations

from pipeline import limits as product
from pipeline.limits import KIB, MIB

# ---- what a Pipeline may ask for ------------------------------------------------------------------------
MAX_STAGES = 16
"""Stages of a Pipeline: the product has four; each costs about 50 µs of a tick, and the API server estimates
what the CRD's rules between stages cost, by the square of this."""
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
MAX_EVENTS_TOLD = 64
"""Names of events of a stage: the product has 22, and a collector tells so many of its users' own apart."""
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
IDLE_CPU_PER_MILLE = 200
"""Of a worker's processor: one that has nothing in hand and uses less is not what its messages wait for."""
NOISE_SIGMAS = 2
"""Standard deviations of a Poisson count by which the load must exceed the capacity to raise ahead of a
breach."""

REFUTED_PER_MILLE = 900
"""Of a load under which a trial failed: a minute's peak is above the mean of the seconds in which it did."""
REFUTED_S = 86_400
"""A failed trial is believed for a day: a neighbour's noise should not cost a replica for ever, nor a breach
come more often."""
SAME_LOAD_PER_MILLE = 1_250
"""Of the peak before a trial: a load up to here is the same with its noise."""

# ---- the simulation -------------------------------------------------------------------------------------
MAX_TRACE_MINUTES = 44_640
"""A month: a simulated day takes about a minute for each autoscaler."""
MAX_TRACE_COUNT = 600_000_000
"""Messages a minute."""

# ---- what the policy says -------------------------------------------------------------------------------
MAX_IGNORED_NAMES = 10
"""Pods named in a condition: a message of conditions has at most 32,768 bytes."""

# ---- replay ---------------------------------------------------------------------------------------------
MAX_OTHER_LINES = 5
"""Lines of a file of records that are none and are told one by one; the others are counted."""

assert MIN_PERCENTILE_BASIS_POINTS < MAX_PERCENTILE_BASIS_POINTS < 10_000
assert MAX_REPLICAS <= 1024

# ---- the API server -------------------------------------------------------------------------------------
FIRST_BACKOFF_S = 0.25
MAX_BACKOFF_S = 8.0
"""Between two tries after failures: the first soon, since a breach waits; the last often enough that an API
server which is back finds its Lease renewed, and one operator with few calls tramples nobody."""
MAX_RETRY_AFTER_S = 120.0
"""What an API server asks for at most is believed up to here; it sends 1 s in practice."""
API_TIMEOUT_S = 10.0
"""For one request: an API server that needs longer is as good as away, and the next tick asks again."""
API_CONNECTIONS = 24
"""At once: 50 Pipelines are patched in three rounds; each costs a TLS handshake of milliseconds."""
MAX_API_ANSWER_BYTES = 64 * MIB
"""A list of everything in a namespace: 10,000 pods with their managed fields."""
SWEEP_EVERY_S = 60.0
"""Between two looks whether objects are still there: a watch that breaks may miss a deletion."""
WATCH_SERVER_TIMEOUT_S = 240
"""The API server ends a watch after this, so that a connection nobody serves cannot last."""
WATCH_INACTIVITY_S = 70
"""Bookmarks come each 60 s: a watch without any for longer is dead."""

# ---- the Lease ------------------------------------------------------------------------------------------
LEASE_DURATION_S = 15
LEASE_RENEW_EVERY_S = 4.0
LEASE_DEADLINE_S = 10.0
"""Not renewed for this long: nothing more is written. Less than the duration by more than one request may
take, so that the old holder has stopped when the new one begins."""

# ---- Events ---------------------------------------------------------------------------------------------
EVENT_BURST = 10
EVENT_REFILL_S = 60.0
"""Events of one Pipeline at once, and one more each minute: a person reads them."""
WARN_AFTER_S = 5.0
"""A condition that is bad for so long is a Warning: a stage at its maximum for a moment wakes nobody."""
WARN_OF_PODS_AFTER_S = 60.0
"""Pods that are missing, likewise: an install and a drained node take no longer."""
EVENT_SERIES_S = 600.0
"""An Event said again within ten minutes is counted instead."""
MAX_EVENT_NOTE_CHARS = 1024
"""As events.k8s.io/v1 has it."""

# ---- collectors -----------------------------------------------------------------------------------------
MAX_SNAPSHOT_BYTES = 2 * MIB
"""One snapshot: 64 workers with all windows take 200 KiB, and 24 sketches 300 KiB more."""
STREAM_SILENT_S = 3.0
"""A stream sends twice a second; one that says nothing for six times that is dead."""
POLL_EVERY_S = 0.5
"""As often as the stream would have sent."""
POLL_TIMEOUT_S = 2.0
POLLS_BEFORE_STREAM = 20
"""A collector that refused the stream is polled for 10 s before it is asked for one again."""
FEED_FIRST_RETRY_S = 0.2
FEED_MAX_RETRY_S = 3.0
"""A collector that starts should be heard soon: its pod waits to be counted."""

# ---- the tick -------------------------------------------------------------------------------------------
TICK_EVERY_S = 1.0
"""Without any news a Pipeline is decided about once a second."""
TICK_OVERDUE_S = 15.0
"""The liveness probe fails when no tick has ended for this long."""
STATUS_EVERY_S = 10.0
"""Figures in a status that nobody decided on are written at most this often."""
MAX_STATUS_DECISIONS = 10
"""Last decisions in a status."""
MAX_STATUS_TEXT_CHARS = 4096
"""A sentence or a condition's message: Kubernetes allows 32,768."""
MAX_MEMORY_CHARS = 256 * KIB
"""The policy's memory of 16 stages takes 40 KiB, packed; an object may have 1.5 MiB."""
MAX_MEMORY_BYTES = 4 * MIB
"""Of what a memory unpacks to: 16 stages take a tenth."""
MEMORY_EVERY_S = 60.0
"""What the policy has learned is written this often, and at each change of replicas."""
MAX_START_MS = 1_800_000
"""A pod that took longer to become ready tells of an outage, not of its start."""
MIN_PUSHED_TICK_MS = 100
"""Between two decisions on one Pipeline that pushed breaches ask for."""
RECORD_EVERY_S = 60.0
"""A decision that changes nothing is recorded this often, so that a replay has what it needs."""
MAX_RECORD_FILE_BYTES = 256 * MIB
"""A file of decision records; one more is kept beside it."""
STATUS_AT_LEAST_APART_S = 1.0
"""Between two writes of one status, whatever happens."""
FAILED_TICK_APART_S = 1.0
"""A Pipeline whose tick failed for a reason of ours is tried again after this."""
SYNC_AT_LEAST_APART_MS = 20
"""Between two looks at which pods and Pipelines there are: a rollout brings events by the hundred."""
PATIENCE_FOR_CRD_S = 2.0
"""Between two looks whether the CustomResourceDefinition is there yet."""
MAX_NAMESPACES = 64
"""Each has five watches and a Lease."""
FAILED_WRITE_APART_S = 0.25
"""Between two tries to write what was decided: a version that was too old is read again by then."""
FIRST_REFUSED_AGAIN_S = 1.0
MAX_REFUSED_AGAIN_S = 60.0
"""Between two tries of a write that was refused (no right to it, say): somebody has to mend it, and a minute
after that is soon enough. One call a minute and target burdens no API server."""
FIRST_SWEEP_AFTER_S = 5.0
"""The watches have begun by then."""
SCALE_TRIES = 4
"""Versions of a StatefulSet that one write is tried on: a rollout changes it with each pod."""
API_KEEP_ALIVE_S = 75.0
"""An idle connection is kept for the next breach: a handshake then would cost it milliseconds."""
PATIENT_CALLS = 6
"""Status and Events at a time: the other connections are for patches of /scale."""
PATIENT_AFTER_S = 0.05
"""Status and Events wait so long for patches of /scale of the same moment: fifty decisions take 20 ms."""
SWITCH_INTERVAL_S = 0.0005
"""How long the watches' thread may keep the interpreter once the tick wants it: a burst of raises is one
of events too, and with Python's 5 ms each step of a patch would wait so long."""
PATIENCE_S = 2.0
"""Status and Events let patches of /scale go first for so long: people read them, messages wait for those."""

assert MAX_LATENCY_SLAS <= product.MAX_SKETCHES
assert PATIENT_CALLS < API_CONNECTIONS // 2
assert LEASE_RENEW_EVERY_S < LEASE_DEADLINE_S < LEASE_DURATION_S
assert FIRST_REFUSED_AGAIN_S < MAX_REFUSED_AGAIN_S
assert WATCH_INACTIVITY_S < WATCH_SERVER_TIMEOUT_S
