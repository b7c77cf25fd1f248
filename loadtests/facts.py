"""What was found out about one test, before it is judged: what `gates` judge and reports show."""

from __future__ import annotations

from msgspec import Struct

from loadtests.shapes import Shape
from loadtests.slope import Slope


class Ending(Struct, frozen=True, kw_only=True):
    """How the test ended. `fault` is empty when it ran to its end; `missing`: something needed was not there
    or went away, as opposed to somebody stopping it."""

    ran_s: float
    fault: str = ""
    missing: bool = False


class StepFacts(Struct, frozen=True, kw_only=True):
    """One step of the shape: its rates, and percentiles of accepted events from the intended send time."""

    index: int
    users: int
    duration_s: float
    planned: float
    met: int
    shed: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @property
    def met_per_s(self) -> float:
        return self.met / self.duration_s if self.duration_s else 0.0

    @property
    def planned_per_s(self) -> float:
        return self.planned / self.duration_s if self.duration_s else 0.0


class Audited(Struct, frozen=True, kw_only=True):
    """The audit beside what was sent. Each list of ids is a sample; the counts are all of them."""

    rows: int
    """Of this test."""
    sent: int
    accepted: int
    """Events answered 202."""
    repeated: int
    """Events sent more than once: without any, nothing is known about duplicates."""
    lost: int
    """Answered 202 and not audited."""
    twice: int
    """With more than one row, or with a fill that is there twice."""
    unsent: int
    """Audited, and never sent as a good event."""
    verifies: bool | None
    """None: it cannot be told from here."""
    detail: str = ""
    examples: tuple[str, ...] = ()
    denied: int = 0
    """Orders refused by a trade throttle or a risk limit."""
    unanswered: int = 0
    """Sent, and never answered at all."""
    outcomes: dict[str, int] = {}
    journalled: int | None = None
    """Events that the gateway took into its journal, all senders; None: it was restarted, or did not say."""
    all_rows: int | None = None
    """Rows of all senders since the test began."""


class Change(Struct, frozen=True, kw_only=True):
    """One change of a stage's workers by the autoscaler, as `ringline status` tells it. Times are wall clock
    in microseconds; None: not yet, or never."""

    stage: str
    before: int
    after: int
    decided_us: int
    breach_us: int | None = None
    ready_us: int | None = None
    met_us: int | None = None
    sentence: str = ""


class ProcessFacts(Struct, frozen=True, kw_only=True):
    """One process of the pipeline. CPU in percent of one processor, memory in bytes: its share
    of what is not a file's."""

    name: str
    cpu_mean_percent: float | None
    cpu_peak_percent: float | None
    memory_first_bytes: int | None
    memory_peak_bytes: int | None
    slope: Slope | None
    """Bytes per second after the warm-up."""
    judged_s: float
    """How long a stretch after the warm-up the slope is of."""
    restarts: int = 0


class Facts(Struct, frozen=True, kw_only=True):
    """One test. None where something could not be found out."""

    shape: Shape
    ending: Ending
    planned: float
    met: int
    shed: int
    errors: int
    p95_ms: float | None
    steps: tuple[StepFacts, ...]
    processes: tuple[ProcessFacts, ...]
    drained_s: float | None
    """From the last request until everything was audited; None: never, or it cannot be seen from here."""
    drain_watched_s: float
    recovered_s: float | None
    """From the spike's end; None: not within the rest of the test."""
    audited: Audited | None
    audit_fault: str
    """Why `audited` is None."""
    expects_audit: bool
    """Whether the audit must be readable from here."""
    reads: int = 0
    read_errors: int = 0
    gaps: int = 0
    """Rows that the reader of the feed missed."""

    @property
    def answered(self) -> int:
        return self.met + self.shed + self.errors
