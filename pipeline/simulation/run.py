"""Runs seeds, in this process or over several, and says which failed and how."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from pipeline.simulation.faults import schedule
from pipeline.simulation.plan import draw
from pipeline.simulation.rules import without
from pipeline.simulation.story import ViolationError
from pipeline.simulation.world import World

CHUNK = 20
"""Seeds a process takes at a time: a few seconds, so that progress is seen."""


class Result(NamedTuple):
    """How one seed ended: `violation` is empty when everything held; `story` are its last lines."""

    seed: int
    violation: str
    story: tuple[str, ...]
    counts: dict[str, int]


def run_seed(seed: int, *, hard: bool = False, rule: str | None = None) -> Result:
    """One run. `rule` is taken out of the code for it."""
    with without(rule):
        world = World(draw(seed, hard=hard))
        schedule(world)
        try:
            counts = world.run()
        except ViolationError as violation:
            return Result(seed, str(violation), tuple(world.story.lines()), dict(world.story.counts))
        except Exception as error:  # a rule taken out may break an invariant that the code itself asserts
            if rule is None:
                raise
            return Result(seed, f"{type(error).__name__}: {error}", tuple(world.story.lines()), {})
    return Result(seed, "", (), counts)


def run_seeds(
    first: int, count: int, *, hard: bool = False, rule: str | None = None, jobs: int = 1
) -> Iterator[Result]:
    """Results of `count` seeds from `first`, in order, as they come."""
    if jobs == 1:
        for seed in range(first, first + count):
            yield run_seed(seed, hard=hard, rule=rule)
        return
    chunks = [
        (start, min(CHUNK, first + count - start), hard, rule) for start in range(first, first + count, CHUNK)
    ]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=quiet) as pool:
        for results in pool.map(_run_chunk, chunks):
            yield from results


def _run_chunk(chunk: tuple[int, int, bool, str | None]) -> list[Result]:
    first, count, hard, rule = chunk
    return [run_seed(seed, hard=hard, rule=rule) for seed in range(first, first + count)]


def quiet() -> None:
    """Deaths and dead letters are what this is about: not worth a line each."""
    logging.disable(logging.CRITICAL)
