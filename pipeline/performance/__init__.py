"""Performance: is it healthy now, and is it slower than it was?

    throughput, backlog, resources          what is watched, each with its limit
    manager, fake                           what a baseline is collected from
    options, collect, report                `collect_performance_baseline`: JSON first, Markdown from it
    stopwatch, reference, rounds            times without the neighbours, beside the machine's own speed
    rule, diff, false_alarms                two baselines: worse by more than 20 % beyond noise?
    baseline_file, marked, pytest_plugin    the same rule for anybody's tests

`pytest_plugin` is loaded by pytest alone.
"""

from pipeline.performance.backlog import Backlog, BacklogTracker
from pipeline.performance.collect import collect_performance_baseline
from pipeline.performance.manager import Manager, Submission
from pipeline.performance.throughput import Throughput, ThroughputMonitor

__all__ = [
    "Backlog",
    "BacklogTracker",
    "Manager",
    "Submission",
    "Throughput",
    "ThroughputMonitor",
    "collect_performance_baseline",
]
