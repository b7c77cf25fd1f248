"""What a tick's figures say of a stage, before anything is proposed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from pipeline_operator import limits
from pipeline_operator.memory import Capacity, StageMemory
from pipeline_operator.observation import SlaVerdict, StageObservation
from pipeline_operator.policy.capacity import believed_milli, low_milli
from pipeline_operator.policy.slas import now_states
from pipeline_operator.policy.starts import Counted, counted
from pipeline_operator.record import SlaState
from pipeline_operator.spec import StageSpec, Tuning

Seen = tuple[StageSpec, StageObservation | None]
"""A stage, and what is seen of it."""


class Facts(Struct, frozen=True, kw_only=True):
    """One stage. Rates in thousandths of a message a second, of the whole stage."""

    spec: StageSpec
    seen: StageObservation
    past: StageMemory
    fresh: bool
    """Every pod that should speak of it, its own and those upstream, did in time and soundly."""
    heard: bool
    """Anybody spoke of it."""
    counted: Counted
    handled_milli: int
    """Over the last second."""
    steady_milli: int
    """Over the last five seconds."""
    enough: bool
    """The last second saw enough messages, handled, waiting or sent here, to prove something."""
    waiting: bool
    """Its input waits."""
    after: tuple[str, ...]
    """Stages that its messages go on to, the next ones first."""
    blocked: bool
    """It waits for stages after it: its output for their credit, or its input for its own, which comes back
    only when they are through."""
    slas: tuple[SlaState, ...]
    violated: tuple[SlaState, ...]
    """Those of them that are."""
    capacity_milli: int | None
    """One replica's; None: not learned yet."""
    capacity_low_milli: int | None
    shown_milli: int
    """The most that one replica has done without being saturated."""
    lag_slope_per_mille: int
    """How fast the lag grows, in ms a second."""


def facts_of(
    spec: StageSpec,
    seen: StageObservation,
    past: StageMemory,
    upstream: Iterable[StageObservation],
    tuning: Tuning,
    now_us: int,
    *,
    after: Collection[Seen],
) -> Facts:
    """`upstream` are the observations of the stages that send to it, whose collectors report its lag; `after`
    are all stages that its messages go on to, without which it can wait for none."""
    signals = seen.signals
    senders = list(upstream)
    speakers = [signals.sources, *(sender.signals.sources for sender in senders)]
    fresh = all(
        source.answered >= source.expected and source.oldest_ms <= tuning.stale_after_ms
        for source in speakers
    )
    second, five = signals.window(1_000), signals.window(5_000)
    capacity = past.capacity if past.capacity.revision == seen.revision else Capacity()
    workers = max(1, signals.workers or seen.ready)
    slas = now_states(spec, signals, tuning.raise_min_count)
    return Facts(
        spec=spec,
        seen=seen,
        past=past,
        fresh=fresh and (seen.ready == 0 or signals.sources.expected > 0),
        heard=any(source.answered for source in speakers),
        counted=counted(seen, past, tuning, now_us),
        handled_milli=second.handled * 1000,
        steady_milli=five.handled * 200,
        enough=max(
            second.handled + second.shed,
            second.flow_throttled,
            signals.depth,
            sum(sender.signals.window(1_000).handled for sender in senders),
        )
        >= tuning.raise_min_count,
        waiting=is_waiting(spec, seen),
        after=tuple(later.name for later, _ in after),
        blocked=bool(after)
        and (
            _is_blocked(seen, tuning)
            or (
                signals.depth < workers
                and _lacks_credit(spec, seen, senders, tuning)
                and any(_may_wait(*stage) for stage in after)
            )
        ),
        slas=slas,
        violated=tuple(state for state in slas if state.verdict is SlaVerdict.VIOLATED),
        capacity_milli=believed_milli(capacity, tuning),
        capacity_low_milli=low_milli(capacity, tuning),
        shown_milli=capacity.shown_milli,
        lag_slope_per_mille=_slope(past, signals.lag_ms, now_us),
    )


def _is_blocked(seen: StageObservation, tuning: Tuning) -> bool:
    """Its output waits for credit."""
    second, workers = seen.signals.window(1_000), max(1, seen.signals.workers or seen.ready)
    return second.blocked_ms * 1000 >= tuning.blocked_per_mille * second.window_ms * workers


def _lacks_credit(
    spec: StageSpec, seen: StageObservation, senders: Sequence[StageObservation], tuning: Tuning
) -> bool:
    """Messages wait for its credit. A stage that has nothing to do meanwhile is done with what holds that
    credit, and more of its replicas would wait as well, if messages wait for stages after it. If they do not,
    its links are too narrow for their way there and back, and its every replica brings another one.

    A message that waits is counted once, so a second without newcomers tells none: then its senders do, or
    its idle processor, as when single keys have used up their share of the credit.
    """
    second = seen.signals.window(1_000)
    if not spec.upstream or second.shed:
        return False
    cpu = seen.signals.cpu_per_mille
    idle = cpu is not None and cpu < limits.IDLE_CPU_PER_MILLE
    stalled = is_waiting(spec, seen) and (idle or any(_is_blocked(sender, tuning) for sender in senders))
    return bool(second.flow_throttled) or stalled


def _may_wait(spec: StageSpec, seen: StageObservation | None) -> bool:
    """Whether messages wait for a later stage, as far as anybody tells."""
    return seen is None or seen.signals.lag_ms is None or is_waiting(spec, seen)


def is_waiting(spec: StageSpec, seen: StageObservation) -> bool:
    """Whether messages wait for this stage: refused, without credit, or older than their way through
    takes."""
    second = seen.signals.window(1_000)
    if second.flow_throttled or second.shed:
        return True
    least_ms = limits.WAITING_MS
    if spec.slas.lag_ms is not None:
        least_ms = min(max(spec.slas.lag_ms // 4, limits.LEAST_WAITING_MS), limits.MOST_WAITING_MS)
    return seen.signals.lag_ms is not None and seen.signals.lag_ms >= least_ms


def load_of(facts: Facts, sent_milli: int, held_up: bool, *, steady: bool = False) -> int:
    """The load that the stage should bear, thousandths of a message a second.

    `sent_milli` is what the stages upstream take in: the load, wherever they tell it, since what is handled
    here falls short of it while input waits, and exceeds it while a backlog goes. `held_up`: input waits
    somewhere before this stage. Where nobody tells it: a lag that grows by s ms a second under a rate h of
    work belongs to a load of h / (1 − s / 1000). `steady`: over five seconds, not one.
    """
    handled_milli = facts.steady_milli if steady else facts.handled_milli
    if not facts.spec.upstream:
        return handled_milli + facts.seen.signals.window(1_000).shed * 1000
    if sent_milli:
        return sent_milli if facts.waiting or held_up else max(sent_milli, handled_milli)
    if facts.waiting and not facts.blocked:
        return handled_milli * 1000 // (1000 - facts.lag_slope_per_mille)
    return handled_milli


def culprits(facts: Facts, by_name: Mapping[str, Facts]) -> tuple[str, ...]:
    """Whom a blocked stage waits for: of the stages after it those that hold the others up; where nobody
    tells, the next ones."""
    if not facts.blocked:
        return ()
    known = [name for name in facts.after if name in by_name]
    holding = [name for name in known if by_name[name].waiting and not by_name[name].blocked]
    return tuple(sorted(holding or [n for n in known if facts.spec.name in by_name[n].spec.upstream]))


def bottlenecks(facts: Mapping[str, Facts]) -> tuple[str, ...]:
    """Stages whose input waits although their output does not: what holds the others up."""
    return tuple(sorted(name for name, stage in facts.items() if stage.waiting and not stage.blocked))


def _slope(past: StageMemory, lag_ms: int | None, now_us: int) -> int:
    """From the lag two to three seconds ago to now; 0 when unknown or falling."""
    if lag_ms is None:
        return 0
    now_s = now_us // 1_000_000
    before = [second for second in past.seconds[-4:] if 2 <= now_s - second.at_s <= 3]
    if not before:
        return 0
    elapsed_s = now_s - before[0].at_s
    return min(max(0, (lag_ms - before[0].lag_ms) // elapsed_s), limits.SLOPE_PER_MILLE)
