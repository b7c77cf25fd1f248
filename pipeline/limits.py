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
MAX_SIGNATURES = 8
"""Signatures in one `webhook-signature`: a sender in rotation sends two; each costs a comparison a secret."""
MAX_TIMESTAMP_CHARS = 12
"""Seconds since the epoch take 10 digits until the year 2286."""
MAX_JSON_DEPTH = 8
"""Nesting of a posted body: an event is flat; deeper than this is an attack and not a mistake."""
MAX_HEADER_BYTES = 16 * KIB
"""Names and values of a request's headers together: what browsers, proxies and tracers add is below 8 KiB."""
MAX_HEADERS = 100
"""As nginx, Apache and HAProxy have it."""
MAX_PIPELINED = 16
"""Requests of one connection that wait behind the one being answered; a sender that pipelines more is cut."""
MAX_DISCARD_BYTES = 1 * MIB
"""A refused body is read to its end up to this size, so that the sender sees the answer and not a reset."""
MAX_PARTIAL_BYTES = 64 * MIB
"""Bodies that arrive in pieces, all together: 256 of the largest. Above it new ones get 503."""
SPARE_CONNECTIONS = 64
"""Connections above `gateway.max_connections` that are still told so (503) instead of being cut."""
REQUEST_READ_S = 10
"""A request must have arrived whole this long after its first byte: 256 KiB at 26 KB/s, but no slow loris."""
KEEP_ALIVE_S = 75
"""An idle connection is kept this long: above the 60 s of usual load balancers, which so close first."""
MAX_BATCH_EVENTS = 1000
"""Events of one posted batch: each takes about 25 µs of the event loop, so the others wait 25 ms at most."""
MIN_KEY_BYTES = 16
MAX_KEY_BYTES = 256
"""Shared keys and tokens that are text, as GitHub and others have it: 128 bits at least."""
MIN_TOKEN_BYTES = 8
"""A body token opens nothing by itself; it only tells one sender from another."""
MAX_ADDRESS_RANGES = 256
"""Source addresses allowed, and proxies trusted: each is compared one after the other."""
MAX_FORWARDS = 32
"""Entries of `X-Forwarded-For` that are looked at, from the last."""
MAX_RATE = 1_000_000
"""Events a period of a source's rate limit; more is none."""
TRADINGVIEW_ANSWER_MS = 2000
"""TradingView hangs up after 3 s: until then it is told that it may be too late, and to ask again."""
MAX_CLOCK_STEP_US = 1_000_000
"""A wall clock that steps by more than a second makes the gateway unready."""

# ---- numbers --------------------------------------------------------------------------------------------
MAX_SCALE = 8
"""Decimals of a price or quantity: a satoshi has 8."""
MAX_SCALED = 10**15
"""A scaled price or quantity: fits a 64-bit word with room for sums of 9,000 of them."""
MAX_NOTIONAL = 2**63 - 1
"""price × quantity, scaled by both: stored as a 64-bit word; an order above it is rejected."""
MAX_EXPOSURE = MAX_NOTIONAL // 4
"""Highest price × largest quantity while a position is open: slippage at most doubles a price, and a round
trip's profit is proceeds less cost, so every amount of a fill and of a book fits its 64-bit word."""
MAX_BPS = 10_000
"""Commission and slippage: the whole notional; more is a mistake in the unit."""
MAX_DECIMAL_CHARS = 32
"""A decimal string at the edge: 16 digits either side of the point is beyond any instrument."""
MAX_EVENT_TIME_US = 4_102_444_800_000_000
"""2100-01-01: later is a mistake in the unit (milliseconds taken for microseconds), not a time."""

# ---- trading --------------------------------------------------------------------------------------------
MAX_WINDOW_TRADES = 1000
"""Entries that are remembered of one scope for its throttles, whichever are configured: an exact window keeps
a time and a notional for each, 18 bytes, in a state that is stored and moved with its key."""
MAX_STRATEGIES_A_KEY = 64
"""Strategies with a position or a throttle's memory in one symbol; each is part of the key's state."""
MAX_SEEN_SCOPES = 64
"""Wide scopes of which a key's state keeps what they held when it last asked: as many as strategies."""
MAX_SCOPE_ANSWERS = 65_536
"""Answers of wide throttles that are remembered, so that an event decided again is answered the same: every
event in flight on 16 full links, each with four legs."""
MAX_RESTING_ORDERS = 256
"""Entries of one key that may wait for the next candle; exits may be as many again. All are in its state."""
MAX_PARTIAL_ORDERS = 2 * MAX_RESTING_ORDERS
"""Orders of one key that wait for volume; older ones fill whole, so that a state stays small on a symbol that
hardly trades."""
MAX_REGISTERED_FILLS = 16_384
"""Fills of one key that are told from replays while its state is rebuilt: those of all rows between two
stored states, where most orders fill on each; older ones are refused, not guessed at."""
MAX_STRATEGY_INSTRUCTIONS = 300_000
"""Bytecode instructions that one step of a user's strategy may take: about 50 ms under the guard that counts
them, a hundred times what a slow one takes."""
MAX_CALL_S = 5
"""One call of a user's strategy or model that does not come back: a hundred times what the most instructions
take, so that a busy machine is not taken for it."""
MAX_IMPORT_S = 20
"""The import of a user's file or package: libraries from a cold disk take seconds. Below START_S, so that a
worker says itself what hung."""
MAX_HANGS = 2
"""Then the code is not called again: once may be a machine that stood still itself."""
CALL_PAGE_BYTES = 1024
"""The name of what is being called, and for how long it may take."""
CALL_FOLDER_GRACE_S = 60
"""A run's folder that nobody has locked is another's that died, unless it is younger than this."""
MAX_MEMORY_BYTES = 64 * KIB
"""What one strategy may remember of one symbol: 1,000 closes take 9 KB."""
MAX_SWEEP_RUNS = 100_000
"""Combinations of one parameter sweep: a day's work of one core on a year of minutes."""
MAX_BENCH_CANDLES = 10_000_000
"""Candles that a bench makes, 19 years of minutes: more would take gigabytes, and speed does not change."""
MAX_BENCH_REQUESTS = 1_000_000
"""Requests of a bench, signed beforehand and kept: about a kilobyte each. Rows of the audit's the same."""
MAX_BENCH_DECISIONS = 10_000_000
"""Throttle decisions of a bench: half a minute a row and repeat."""
OVERLOAD_JOURNAL_BYTES = 4 * MIB
"""The journal in the overload bench: full after seconds of ten times the capacity, empty in a minute."""
OVERLOAD_VENUE_MS = 10
OVERLOAD_VENUE_ORDERS = 4
"""Of its simulated venue: about 400 orders a second settle, and a client can post ten times as many."""
OVERLOAD_MEMORY_BYTES = 96 * MIB
"""What a process may take above its rest while overloaded: the journal's bytes as objects, several times
over, and 256 connections with their buffers."""

# ---- links ----------------------------------------------------------------------------------------------
MAX_FRAME_BYTES = 8 * MIB
"""One ZeroMQ frame: a batch of messages; a state reply with its rows fits many times."""
MAX_BATCH_MESSAGES = 256
"""Messages packed in one frame: beyond this the per-frame cost is already amortised."""
MAX_FRAME_MESSAGES = 4 * MAX_BATCH_MESSAGES
"""Taken in one frame: what any version packs, and a bound on what one frame may cost."""
HOT_KEYS = 64
"""Keys counted at once: one with more than 1/65 of all messages is always among them."""
MAX_SENDERS = 1024
"""Sessions of one receiver: every worker of the stage before it, several times over."""
MAX_CREDIT = 4096
"""Messages in flight on one link; bounds every queue behind it."""
MIN_LINK_SECRET_BYTES = 32
"""Of a line in the links' key file: CURVE is good for 128 bits, a line of text has 4 to 6 bits a byte."""
MAX_LINK_KEYS = 4
"""Rotation needs two; each costs a peer that dials with a wrong one `links.dead_after_ms`."""
MAX_LINK_KEY_FILE_BYTES = 64 * KIB
LINK_HANDSHAKE_MS = 5_000
"""A peer that connects and says nothing is cut; a handshake takes milliseconds."""
HANDSHAKE_SAY_EVERY_S = 10
"""Strangers try several times a second: one line for all of them."""
KEY_SHARE = 4
"""A key may hold at most a quarter of a link's credit, so a hot key never starves the others."""
MAX_WORKERS = 64
"""Workers of one stage on one machine; port + 10·k must stay below 65,536 and clear of other stages."""
MAX_VENUE_LATENCY_MS = 10_000
"""A simulated venue's answer time; slower ones are simulated as well by this."""
MAX_VENUE_CONCURRENCY = 4096
"""Orders at a simulated venue at a time: as many as a link's credit can have in flight."""
MAX_REPLICAS = 64
"""Replicas of one stage that senders look for: each is a name to look up every second by every sender."""
LOOK_AHEAD = 4
"""Absent replicas in a row after which no further ones are looked for: a new one appears within seconds even
so, and an idle pipeline asks the name server little."""
LOOK_ALL_EVERY = 10
"""Every so many looks all names are asked for: a gap may be wider than LOOK_AHEAD while pods are pending."""
MAX_HEALTH_CONNECTIONS = 8
"""Probes answered at a time; the kubelet has one or two open, and each gets one answer."""
DEATHS_UNTIL_DEAD_LETTER = 3
"""Distinct deaths on one event before it is given up: one is an accident, two a coincidence."""
MAX_BACKOFF_MS = 200
"""Pause before a key is sent again: 2, 4 … 200 ms while nothing of it settles."""
MAX_MALFORMED_FRAMES = 100
"""Kept a worker: enough to see what a stranger sends, too few to fill a disk with."""
MAX_MALFORMED_BYTES = 64 * KIB

# ---- journal --------------------------------------------------------------------------------------------
MAX_RECORD_BYTES = MAX_BODY_BYTES + 64 * KIB
"""A journal record: the event, its headers and, for a control event, one part for each key."""
MIN_SEGMENT_BYTES = 64 * KIB
MAX_SEGMENT_BYTES = 1 * GIB
MIN_JOURNAL_SEGMENTS = 4
"""`journal.max_bytes` must hold this many segments, or compaction has no room to copy forward."""
MAX_JOURNAL_KEYS = 1_000_000
"""Keys the journal counts for; each takes about 300 bytes of memory as long as the journal lives."""
KEYS_A_RECORD = 400
"""Counters and marks carried in one record: at most 400 × (4·32 + 20) bytes, below MIN_SEGMENT_BYTES."""
KNOWN_A_RECORD = 800
"""Identities carried in one record: 800 × 48 bytes, below MIN_SEGMENT_BYTES."""
KEY_SHARE_OF_JOURNAL = 4
"""A key may hold at most a quarter of `journal.max_bytes`, so that one stuck key never shuts the gate."""
MARKS_EVERY_S = 1
"""Settled marks are journalled this often: a crash sends again at most what settled since."""
MARK_SYNC_EVERY_S = 1
"""The mark file is synced this often; groups repeat its number, so a lost mark costs nothing."""
CARRY_SLICE_BYTES = 256 * KIB
"""Compaction reads this much at a time: about 2 ms of the event loop."""
JOURNAL_FULL_RETRY_S = 5
"""Retry-After when the journal is full: the pipeline behind has to drain first."""
KEY_FULL_RETRY_S = 1
"""Retry-After when one key is above its share."""
GATEWAY_GC_OBJECTS = 20_000
"""New objects after which the gateway looks for circular garbage: a few MB at most wait for it."""

# ---- audit ----------------------------------------------------------------------------------------------
MAX_AUDIT_BATCH = 1024
"""Rows of one transaction: 64 already reach 64 k rows/s on SQLite; more only adds latency."""
STATE_EVERY_ROWS = 64
"""States are stored every Nth row of a key; rebuilding applies at most N − 1 recorded effects."""
AUDIT_TAILS = 100_000
"""Keys whose last row is kept in memory, so that a hot key costs no query; about 400 bytes each."""
MAX_QUERY_ROWS = 10_000
"""Rows one query answers; more come by paging on."""
VERIFY_PAGE_ROWS = 1_000
"""Rows read at a time: progress is told, and the writer can checkpoint, between pages."""
MAX_CHECKPOINTS = 2_000
"""Signed checkpoints kept in `data_dir/checkpoints`: a day and a half of one a minute, 400 KiB."""
PRUNE_STEP_ROWS = 10_000
"""Rows taken out in one transaction: about 100 ms in which the worker waits."""
MAX_ARCHIVES_NAMED = 64
"""Archives that the note of a prune names, the latest: five years of one a month, some KiB."""
RECONCILE_CHECK_KEYS = 256
"""Keys that the gateway asks the audit about in one question: a millisecond of its time."""
RECONCILE_LOOK_S = 2
"""The gateway looks this often whether an audit worker began anew, and so perhaps from a backup."""
RECONCILE_ASK_AGAIN_S = 1
RECONCILE_KEY_EVENTS = 2048
"""Kept events of one key that are read at a time to be sent again: 2 MiB, and many round trips."""
RECONCILE_EVENTS = 65_536
"""The same of all keys together: about 64 MiB."""
MAX_NAMED_KEYS = 20
"""Keys that a message to people names one by one; of more it says how many."""
CHECKPOINT_SEND_S = 10
"""A checkpoint's receiver that takes longer does not answer."""
CHECKPOINT_PAUSE_MIN_S = 1
CHECKPOINT_PAUSE_MAX_S = 300
"""Between two attempts to send a checkpoint, doubled each time; a newer one replaces one not sent yet."""
MAX_CLAIMS = 64
"""Scopes that one entry may claim: more than any configuration has throttles for one symbol."""
MAX_SCOPE_TIME_US = 31_536_000 * 10**6
"""Window, spacing and cooldown of a scope: a year, as everywhere."""
SCOPE_ANSWERS_A_KEY = 1024
"""Answers remembered of a key: four times the messages of one key that can be in flight."""
SCOPES_TIMEOUT_MS = 250
"""An agent that waits for its scope store twice this long still answers heartbeats in time."""
SCOPES_PAUSE_MS = 1000
"""A scope store that gave no answer is asked again after this long."""
SPACE_EVERY_S = 5
"""Free space is looked at this often: at 100 MB/s half a gigabyte goes in between."""
STRANGE_SAY_EVERY_S = 10
"""Between two lines about frames that are none of ours: all are counted, and a stranger must fill no log."""
SPACE_SAY_EVERY_S = 3600
"""A disk that stays nearly full is reported again after this long."""
POSTGRES_CONNECT_S = 5
"""A server that does not answer by then is away."""
POSTGRES_LOCK_S = 10
"""A batch takes milliseconds: a worker that holds the head of the chain this long is paused or gone."""
POSTGRES_RETRY_S = 30
"""A server is waited for this long, as a restart takes seconds; then the worker ends and says so."""
POSTGRES_PAUSE_MIN_MS = 10
POSTGRES_PAUSE_MAX_MS = 500
"""Between two attempts, doubled each time: back at once after a blip, no storm while it is away."""

# ---- feed -----------------------------------------------------------------------------------------------
MAX_FEED_CLIENTS = 1024
"""WebSocket clients: each costs a socket, 64 KiB of its buffer and a tenth of a millisecond a row."""
MAX_FEED_CONNECTIONS = 4096
FEED_SEND_BUFFER_BYTES = 128 * KIB
"""Of each client's socket: by the kernel's own measure megabytes could wait there for one that sleeps."""
MIN_FEED_HEARTBEAT_MS = 100
MAX_FEED_DELAY_MS = 1000
"""A client that can wait longer than this for rows asks for them by HTTP."""
MAX_FEED_FILTERS = 64
"""Keys or outcomes that one client asks for."""
MAX_FEED_MESSAGE_BYTES = 4096
"""What a client may send: a question for the time is 40 bytes."""
FEED_TAIL_ROWS = 4096
"""The newest rows, ready to be sent, that clients share: a second at full rate. Who is further behind reads
from the store."""
FEED_PAGE_ROWS = 256
"""Rows read for a client that catches up, at a time: their making takes the thread about 20 ms."""
FEED_READERS = 4
"""Threads that read the audit, each with a connection: one for what is new, the others for queries and for
catching up."""
MAX_FEED_MANIFESTS = 1000
"""Manifests of past sessions that are kept, 500 bytes each."""
MAX_VIEWERS = 32
"""Streams of the live page: each costs a socket and a share of the frames' making."""
MIN_PAGE_MS = 100
"""Frames are no nearer than this: the collector drains ten times a second."""
PAGE_POINT_MS = 900
"""Points of the page's plots are a second apart; a timer that is a little early makes no hole."""
PAGE_POINTS = 900
"""A quarter of an hour of points, 60 bytes each on the wire: what a viewer who comes is sent at once."""
MAX_EPOCH_TEXT = 32
"""Names a server of the page: twice what one draws."""
MAX_POINT_DIGITS = 15
"""Of a point's number, one a second: thirty million years."""
PAGE_IDLE_S = 5
"""How often the page's past goes on while nobody looks."""
MAX_PAGE_COLLECTORS = 128
"""That the page adds up: a second of snapshots of so many takes about a second of one core."""
MAX_OPERATOR_ANSWER_BYTES = 256 * KIB
"""Twenty decisions and seven conditions of a KiB each are a tenth of it."""
MAX_LINK_REPORTS = 64
"""Of one pod that its collector tells: a worker each, and the chart allows 16 workers a pod."""
MAX_LINK_REPORT_BYTES = 256 * KIB
"""A worker with a link to each of MAX_ORDINAL workers writes less."""
PAGE_THREADS = 8
"""That ask collectors and name servers: each waits most of the time."""
PAGE_TRANSFER_BYTES = 100 * KIB
"""All static files of the page, compressed; with the first frame and the past it stays below 250 KB."""
MAX_SNAPSHOT_BYTES = 16 * MIB
"""A collector of a thousand workers tells less."""
MAX_CONTROL_BYTES = 4096
"""A halt with its reason."""
PAGE_DEATH_MS = 900_000
"""A worker's death is on the page for a quarter of an hour; the log and the counters keep it."""
BOOK_ROWS = 2000
"""Rows with fills or refusals added up at a time: about 50 ms of a thread."""
BOOK_FRESH_ROWS = 500
"""New rows up to which each is read, once: about 20 ms of a thread. Of more the database counts most."""
BOOK_KEYS = 32
"""Keys whose throttles are looked at a turn: each takes a fraction of a millisecond, and a turn of its own
wakes two threads."""
BOOK_STATES = 1000
"""Keys whose states are remembered between turns: some 5 KB each."""
BOOK_SCOPES = 200
"""Throttle scopes that are sent, those that hold first."""
BOOK_LINES = 500
"""Positions that are sent."""
DECISIONS_SHOWN = 20
"""The autoscaler's newest words on the page: a screenful."""
DECISION_OLD_S = 30
"""After so long the autoscaler has ended or hangs, and what it said is not told: it speaks twice a second,
and waits for the collector no longer than `AUTOSCALE_ASK_S`."""
MAX_PAGE_ROWS = 1000
"""Rows of one answered query: about a megabyte."""
SCAN_WINDOW_ROWS = 5_000
MAX_SCAN_ROWS = 50_000
"""Rows that one query looks at, in windows, so that no read holds up the writer's checkpoints for longer than
some ms; the answer says where the next query goes on."""
MAX_QUERY_CHARS = 4096
"""Of a request's query string."""

# ---- telemetry ------------------------------------------------------------------------------------------
RING_ENTRY_BYTES = 32
DEFAULT_RING_ENTRIES = 128 * 1024
PUBLISHED_RING_ENTRIES = 16 * 1024
"""Of each thread of a process that publishes: a ring file's memory is taken whole when it is made, and
threads are many. 512 KiB hold what a thread records between two looks of a collector at 320,000 a second."""
MIN_RING_ENTRIES = 64
MAX_RING_ENTRIES = 1 << 24
MAX_EVENT_ID = 4095
"""12 bits of an entry; every reader keeps a lookup table of this length for each stage."""
MAX_NAMED_EVENTS = 2048
"""Events of users' own that one collector tells apart by name, over all processes; what has
another name then is refused."""
MAX_SERIES = 256
"""Latencies kept apart: stages times the events each records; a row of buckets takes 41 KiB when used."""
MAX_COUNTERS = 4096
"""Counters kept apart: worker, event and what it was counted for."""
MAX_DURATION_NS = 1 << 50
"""13 days: longer is a wrong clock or a wrong unit, and thousands of them would overflow a 64-bit sum."""
MAX_SAMPLING_WEIGHT = 4096
"""Calls one kept entry may stand for, 12 bits of it; a rarer sample tells nothing about a tail."""
MAX_ORDINAL = 1024
"""Replicas of a stage that telemetry tells apart; a higher ordinal in an entry is a mistake."""
MAX_RINGS = 4096
"""Rings one collector drains: each takes a file descriptor."""
MAX_LEFT_RINGS = 32
"""Rings kept for the next collector by writers that left while there was none, the newest: 128 MiB of
/dev/shm if all are of the default size and full; what holds no record is given back."""
MAX_SLA_EVENTS = 64
"""Events that `telemetry.sla` names: each is judged over every window, with every percentile it has."""
MIN_SLA_LIMIT_NS = 1
"""Limits are kept in whole nanoseconds, and every call takes 0 or longer."""
MAX_SLA_LIMIT_MS = MAX_DURATION_NS // 1_000_000
"""No call that is recorded takes longer."""
MAX_SLA_PERCENTILES = 8
"""Thresholds of one event: each takes a counter for every series there can be, in every window."""
MAX_FACT = 1 << 60
"""The greatest gauge that a worker may tell of itself, ns or bytes: 36 years, or an exbibyte."""
MAX_WINDOW_S = 7 * 24 * 3600
"""The longest window of in-process figures: beyond a week totals are kept, not windows."""
MAX_OPEN_STARTS = 96
"""Calls under way that a ring can tell, 16 bytes each: with them a full ring stays within 4.2 MB. A thread
nests a few deep; of one that awaits more at a time the report says that there were more."""
MAX_GONE_WORKERS = 64
"""Workers without a ring whose counters are still told apart, so that a worker that comes back goes on where
it was: a stage's replicas and more."""
MAX_GONE_STAGES = 16
"""Stages without a ring whose latencies are still told apart: 3 KB of /metrics for each event of theirs."""
MAX_GONE_EVENTS = 64
"""Counters of all that is gone of one stage, or of all gone stages: one an event, the rest together."""
MAX_GONE_SERIES = 16
"""Latencies of all gone stages: one an event, the rest together."""
MAX_REMEMBERED_DEAD = 64
"""Dead writers a snapshot still names."""
MAX_FLIGHTS = 8
"""Crashed writers whose last moments a collector keeps: 1 MiB of /dev/shm."""
STREAM_MS = 500
"""How often a collector's stream tells, unless it is asked for another pace."""
MAX_STREAMS = 64
"""Clients of /v1/stream at one time; each costs a socket and a copy of the newest snapshot's reference."""
MAX_SKETCHES = 24
"""Events whose buckets one snapshot hands out: the golden path has 13, users add their own; 60 KiB each."""

# ---- performance ----------------------------------------------------------------------------------------
MAX_THROUGHPUT_SAMPLES = 65_536
"""Samples that a throughput monitor or a backlog tracker keeps: a minute at 1,000 events/s, about 8 MiB."""
MAX_BASELINE_TRADES = 100_000
"""Trades of one baseline: each is an event with an audit row, and nobody waits an hour for a baseline."""
MAX_BASELINE_RATE = 10_000
"""Trades per second: above it one sender that waits for each answer measures itself."""
MAX_BASELINE_MS = 86_400_000
"""A limit of a day: longer is a mistake in the unit."""
MAX_BASELINE_CPU_PERCENT = 102_400
"""Of one CPU: 1,024 of them."""
MAX_BASELINE_MEMORY_MB = 1 << 30
"""1 PiB."""
MAX_BASELINE_ROUNDS = 1000
MAX_BASELINE_CALLS = 100_000
MAX_BASELINE_BYTES = 16 * MIB
"""A baseline file: 1,000 rounds and 64 throttle scopes take 0.2 MiB."""

# ---- processes ------------------------------------------------------------------------------------------
IN_HAND_BYTES = 256
"""The note of what a worker steps right now: a key (≤ 4·32 bytes of UTF-8) and two numbers."""
DRAIN_S = 10
"""A worker that was asked to leave and has not drained by then leaves anyway: the journal has it all."""
LEAVE_GRACE_S = 1
"""A worker's own deadline is this much past `supervisor.drain_s`: the supervisor's SIGKILL comes first and is
reported; the worker's alarm is for when there is no supervisor any more."""
START_S = 30
"""A worker that is not ready by then hangs: a cold start takes under a second, a recovery of 1 GiB of
journal some seconds."""
RESTART_PAUSE_MIN_MS = 50
RESTART_PAUSE_MAX_MS = 1_000
"""Pause before a restart, doubled each time within the window: short enough that one crash costs a client
nothing, long enough that ten in a row do not occupy a core."""
MAX_FAILURE_TEXT_BYTES = 64 * KIB
"""What a child may say about why it cannot start: 64 KiB is one pipe, and 500 configuration faults."""
AUTOSCALE_EVERY_MS = 500
"""Between two decisions of the embedded autoscaler: half of what a worker takes to start, and as often as the
collector has anything new to say."""
AUTOSCALE_ASK_S = 2
"""For one answer of the collector; signals are stale after three seconds."""
AUTOSCALE_LAG_MS = 1_000
"""The lag SLA of each stage where no policy file says another: the warning of the shipped alerts."""
AUTOSCALE_START_MS = 10_000
"""A worker's start until enough were seen: one takes about a second, ten on a busy machine."""
AUTOSCALE_MOST = 4
"""Workers of a stage at most, where nobody says another bound, or as many as there are cores. A venue that
answers slowly needs more workers than cores; each is some 60 MB."""
AUTOSCALE_CHANGES = 100
"""Changes that are shown: all of an hour in which the policy changes its mind twice a minute."""
AUTOSCALE_RECORD_S = 60
"""A decision that says what the last one said is kept this often: some tens of megabytes a day."""

assert RESTART_PAUSE_MIN_MS <= RESTART_PAUSE_MAX_MS
assert SCAN_WINDOW_ROWS <= MAX_SCAN_ROWS
assert FEED_PAGE_ROWS <= MAX_PAGE_ROWS <= MAX_QUERY_ROWS
assert FEED_PAGE_ROWS < FEED_TAIL_ROWS
assert BOOK_FRESH_ROWS <= MAX_QUERY_ROWS
assert POSTGRES_PAUSE_MIN_MS <= POSTGRES_PAUSE_MAX_MS
assert POSTGRES_LOCK_S < POSTGRES_RETRY_S
assert MAX_BODY_BYTES < MAX_RECORD_BYTES < MAX_FRAME_BYTES
assert MAX_BODY_BYTES < MAX_DISCARD_BYTES < MAX_PARTIAL_BYTES
assert MIN_SEGMENT_BYTES <= MAX_SEGMENT_BYTES
assert KEYS_A_RECORD * (4 * MAX_SYMBOL_CHARS + 20) < MIN_SEGMENT_BYTES
assert KNOWN_A_RECORD * 48 < MIN_SEGMENT_BYTES
assert 4 * MAX_SYMBOL_CHARS + 32 <= IN_HAND_BYTES
assert PUBLISHED_RING_ENTRIES & (PUBLISHED_RING_ENTRIES - 1) == 0
assert DEFAULT_RING_ENTRIES & (DEFAULT_RING_ENTRIES - 1) == 0
assert MAX_SCALED * 9_000 < 2**63
assert 4 * MAX_EXPOSURE <= MAX_NOTIONAL
assert MAX_PARTIAL_ORDERS + 2 * MAX_RESTING_ORDERS < MAX_REGISTERED_FILLS
