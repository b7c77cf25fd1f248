"""Shapes as tables: how many users send at each moment, and so which rate is planned. Pure.

A user of a shape sends PER_USER_S requests per second on a schedule of its own; in the open variants a
user is a stream of arrivals that waits for no answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

PER_USER_S = 5.0
"""Requests per second of one user: 100 users plan the 500 requests/s that the reference reached."""
RECOVERING = -1
"""The time after a spike in which it is recovered from, among the steps."""
STREAM_PER_S = 50.0
"""Requests per second of one stream of the open variants, at most."""


class Step(Struct, frozen=True, kw_only=True):
    """`users` for `duration_s`, reached in a straight line over the first `ramp_s` of it."""

    duration_s: float
    users: int
    ramp_s: float = 0.0


class Shape(Struct, frozen=True, kw_only=True):
    """One test.

    `knee`: it looks for the breaking point, so past the last good step only the safety gates apply.
    `spike_step`: the step after whose end the SLA must be met again (-1: none).
    """

    name: str
    about: str
    steps: tuple[Step, ...]
    per_user_s: float = PER_USER_S
    open_model: bool = False
    knee: bool = False
    spike_step: int = -1
    time_scale: float = 1.0

    @property
    def duration_s(self) -> float:
        return sum(step.duration_s for step in self.steps)

    @property
    def peak_per_s(self) -> float:
        return max(step.users for step in self.steps) * self.per_user_s


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        shape.name: shape
        for shape in (
            Shape(
                name="smoke",
                about="10 users, 5 minutes: does it work at all",
                steps=(Step(duration_s=300, users=10, ramp_s=5),),
            ),
            Shape(
                name="load",
                about="100 users, 30 minutes: the expected day",
                steps=(Step(duration_s=1800, users=100, ramp_s=30),),
            ),
            Shape(
                name="stress",
                about="50 to 500 users in ten steps, 15 minutes: where it breaks",
                steps=tuple(Step(duration_s=90, users=50 * (index + 1)) for index in range(10)),
                knee=True,
            ),
            Shape(
                name="spike",
                about="10 to 200 users at once and back, 10 minutes: does it recover",
                steps=(
                    Step(duration_s=120, users=10),
                    Step(duration_s=360, users=200),
                    Step(duration_s=120, users=10),
                ),
                spike_step=1,
            ),
            Shape(
                name="soak",
                about="50 users, 2 hours: does anything leak",
                steps=(Step(duration_s=7200, users=50, ramp_s=30),),
            ),
        )
    }
)


def shaped(name: str, *, time_scale: float = 1.0, peak_per_s: float | None = None) -> Shape:
    """The shape `name`, its durations times `time_scale`; with `peak_per_s` its open variant, whose highest
    rate is that. Users and rates are never scaled with time."""
    shape = SHAPES[name]
    if peak_per_s is not None:
        shape = _opened(shape, peak_per_s)
    steps = tuple(
        replace(step, duration_s=step.duration_s * time_scale, ramp_s=step.ramp_s * time_scale)
        for step in shape.steps
    )
    return replace(shape, steps=steps, time_scale=time_scale)


def _opened(shape: Shape, peak_per_s: float) -> Shape:
    """Streams in proportion to users. With few streams the rates of small steps are rounded up to one."""
    most = max(step.users for step in shape.steps)
    streams = max(math.ceil(peak_per_s / STREAM_PER_S), len(shape.steps))
    steps = tuple(replace(step, users=max(1, round(streams * step.users / most))) for step in shape.steps)
    return replace(shape, steps=steps, per_user_s=peak_per_s / streams, open_model=True)


def users_at(shape: Shape, elapsed_s: float) -> int | None:
    """How many users there are to be; None when the test is over."""
    before, start_s = 0, 0.0
    for step in shape.steps:
        within_s = elapsed_s - start_s
        if within_s < step.duration_s:
            if within_s >= step.ramp_s:
                return step.users
            return max(1, math.ceil(before + (step.users - before) * within_s / step.ramp_s))
        before, start_s = step.users, start_s + step.duration_s
    return None


def step_at(shape: Shape, elapsed_s: float) -> int:
    """The index of the step in force; the last one's after the end."""
    end_s = 0.0
    for index, step in enumerate(shape.steps):
        end_s += step.duration_s
        if elapsed_s < end_s:
            return index
    return len(shape.steps) - 1


def step_end_s(shape: Shape, index: int) -> float:
    return sum(step.duration_s for step in shape.steps[: index + 1])


def judged_step(shape: Shape, elapsed_s: float, recover_s: float) -> int:
    """The step that this moment is judged with. Of a spike, the time that it has for recovering is its own:
    neither the spike nor what comes after it."""
    index = step_at(shape, elapsed_s)
    if 0 <= shape.spike_step == index - 1 and elapsed_s < step_end_s(shape, shape.spike_step) + recover_s:
        return RECOVERING
    return index
