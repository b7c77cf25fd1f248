"""Telemetry in one file: measure, read percentiles, check an SLA, export JSON. Run it:

python examples/telemetry.py
"""

from __future__ import annotations

import asyncio
import logging
import random
import time

from pipeline.telemetry import (
    EventID,
    MetricsCollector,
    correlate,
    measure,
    measure_async,
    measure_sync,
    register_event,
    watch_event_loop,
    watch_gc,
)

CHECKOUT = register_event("checkout")
metrics = MetricsCollector()


@measure_sync(EventID.CANDLE_PROCESSING)
def process_candle() -> float:
    return sum(random.random() for _ in range(200))  # noqa: S311 - something to do


@measure_async(EventID.SIGNAL_GENERATION)
async def generate_signal() -> None:
    await asyncio.sleep(random.uniform(0.0005, 0.002))  # noqa: S311


async def trade(order: int) -> None:
    with correlate(order), measure(CHECKOUT):
        process_candle()
        await generate_signal()
        metrics.count(EventID.HANDLED)


async def main() -> None:
    probe = watch_event_loop()
    for first in range(0, 200, 20):
        await asyncio.gather(*(trade(order) for order in range(first, first + 20)))
        metrics.record_backlog(180 - first)
    probe.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    metrics.start(report_every_seconds=0.3)
    watch_gc()
    started = metrics.record_start(EventID.ORDER_PLACEMENT)
    asyncio.run(main())
    metrics.record_end(EventID.ORDER_PLACEMENT, started)
    time.sleep(0.3)  # for the periodic report
    metrics.stop()
    for found in metrics.get_all_stats(window_seconds=5).values():
        facts = found.as_dict()
        print(f"{facts['event']:<20}{found.count:>5} calls  p50 {found.p50} ns  p99 {found.p99} ns")
    print("violated:", [result.threshold for result in metrics.check_sla_violations(5)])
    print(
        "handled:", metrics.get_count(EventID.HANDLED), "backlog:", metrics.get_gauge(EventID.QUEUE_BACKLOG)
    )
    print(metrics.export_json(5)[:60], "…")
