"""Whatever fits or breaks the OpenAPI page: no request ends in a 5xx, and every answer is as described."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pipeline.bench.valuation_server import HOST, Client, Server, running_valuation, teach
from pipeline.config import Config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]

EXAMPLES = 15


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_valuation(Config(), tmp_path_factory.mktemp("served"), nav_every_ms=100) as found:
        client = Client(found.port)
        teach(client)
        client.close()
        yield found


def test_no_request_ends_in_a_server_error(server: Server) -> None:
    schemathesis = importlib.import_module("schemathesis")
    checks = importlib.import_module("schemathesis.specs.openapi.checks")
    not_a_server_error = importlib.import_module("schemathesis.checks").not_a_server_error
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    url = f"http://{HOST}:{server.port}"
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    asked: dict[str, int] = {}
    for found in schema.get_all_operations():
        operation: Any = found.ok()
        for mode in list(schemathesis.GenerationMode):
            asked[operation.label] = asked.get(operation.label, 0) + _ask(operation, url, wanted, mode)
    assert len(asked) == 13
    assert all(asked.values()), asked


def _ask(operation: Any, url: str, checks: list[Any], mode: Any) -> int:
    count = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        nonlocal count
        count += 1
        case.call_and_validate(base_url=url, checks=checks)

    try:
        ask()
    except Exception as error:
        if type(error).__name__ in ("Unsatisfiable", "SkipTest"):  # nothing can be wrong in this one
            return count
        raise
    return count
