"""The first candle waits for somebody who looks, the end for being told."""

from pipeline.process import StopFlag
from pipeline.replay.audience import Audience
from pipeline.snapshot import Replica, Snapshot


class Pipeline:
    """Its page is opened at the third look; it asks to stop after `looks` polls."""

    def __init__(self, stop: StopFlag, looks: int, opened_at: int = 3) -> None:
        self.polls = self._asked = 0
        self._stop = stop
        self._looks = looks
        self._opened_at = opened_at

    def poll(self) -> None:
        self.polls += 1
        if self.polls >= self._looks:
            self._stop.set()

    def snapshot(self) -> Snapshot | None:
        self._asked += 1
        if self._asked == 1:
            return None  # the collector does not answer yet
        depth = int(self._asked >= self._opened_at)
        feed = Replica(stage="feed", ordinal=0, name="feed", age_ms=1, depth=depth)
        agent = Replica(stage="agent", ordinal=0, name="agent-0", age_ms=1, depth=9)
        return Snapshot(taken_us=1, uptime_s=1, stages=(), replicas=(agent, feed), latencies=())


def audience(pipeline: Pipeline, stop: StopFlag) -> tuple[Audience, list[str]]:
    said: list[str] = []
    return Audience(pipeline, stop, "http://here/", said.append), said


def test_it_waits_until_somebody_looks_and_says_where() -> None:
    stop = StopFlag()
    pipeline = Pipeline(stop, looks=99)
    one, said = audience(pipeline, stop)
    assert one.wait()
    assert pipeline.polls == 2
    assert "http://here/" in said[0]


def test_told_to_stop_it_waits_no_longer() -> None:
    stop = StopFlag()
    one, _ = audience(Pipeline(stop, looks=2, opened_at=99), stop)
    assert not one.wait()


def test_at_the_end_it_stays_and_looks_after_the_workers_until_it_is_told() -> None:
    stop = StopFlag()
    pipeline = Pipeline(stop, looks=3)
    one, said = audience(pipeline, stop)
    one.stay()
    assert pipeline.polls == 3
    assert "stays until Ctrl-C" in said[0]
