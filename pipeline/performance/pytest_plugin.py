"""`@pytest.mark.performance(...)`: a test that fails when its p95 is worse than its stored baseline.

Installing ringline registers it (entry point `pytest11`). The body of a marked test is called
rounds × calls × passes times; what should not be timed belongs into fixtures. Nothing is loaded until a
marked test runs, and pytest itself only by pytest.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

OPTION = "performance_baseline"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("performance", "performance baselines of marked tests")
    group.addoption(
        "--performance-update",
        action="store_true",
        help="Store what the marked tests measure as their new baselines, and fail none.",
    )
    group.addoption(
        "--performance-baseline",
        metavar="FILE",
        help="Where the baselines are; else the ini value performance_baseline.",
    )
    parser.addini(OPTION, "File with the baselines of marked tests.", default="performance-baseline.json")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "performance(max_regression=0.2, rounds=20, calls=50, passes=3): time the body; fail when its p95 is "
        "worse than the stored baseline by more than max_regression, beyond noise and the machine's speed",
    )


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Takes the place of the single call of a marked test; any other is left to pytest."""
    marker = pyfuncitem.get_closest_marker("performance")
    if marker is None:
        return None
    fault = _run(pyfuncitem, marker)
    if fault:
        import pytest

        pytest.fail(fault, pytrace=False)
    return True


def baseline_file(config: pytest.Config) -> Path:
    """From the command line relative to where pytest was called, from the ini relative to the root."""
    given = config.getoption("performance_baseline")
    if given:
        return Path(config.invocation_params.dir, given)
    return Path(config.rootpath, config.getini(OPTION))


def _run(item: pytest.Function, marker: Any) -> str:
    """Why the test fails, "" when it does not. What the test's own body raises passes through."""
    from pipeline.errors import RinglineError
    from pipeline.performance.marked import checked_mark, judge, measure, store

    function = item.obj
    if inspect.iscoroutinefunction(function):
        return "@pytest.mark.performance: an async test cannot be timed; run its coroutine in a plain one"
    wanted = item._fixtureinfo.argnames
    arguments = {name: item.funcargs[name] for name in wanted}
    try:
        mark = checked_mark(marker.args, marker.kwargs)
        path = baseline_file(item.config)
    except RinglineError as error:
        return str(error)
    found = measure(lambda: function(**arguments), mark)
    try:
        if item.config.getoption("performance_update"):
            store(path, item.nodeid, found)
            return ""
        return judge(path, item.nodeid, found, mark)
    except RinglineError as error:
        return str(error)
