"""What all tests share: servers, one a process, started when asked for; properties without a deadline."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg.sql import SQL, Identifier
from servers import running_postgres

# A machine that is busy with something else makes an example slow, and says nothing about the property.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """A PostgreSQL server: RINGLINE_TEST_POSTGRES, else one of our own."""
    if given := os.environ.get("RINGLINE_TEST_POSTGRES"):
        yield given
        return
    with running_postgres() as server:
        yield server.dsn


@pytest.fixture
def new_schema(postgres_dsn: str) -> Iterator[Callable[[], str]]:
    """Names of schemas that nobody else uses; they are dropped after the test."""
    given: list[str] = []

    def make() -> str:
        given.append(f"ringline_test_{os.getpid()}_{next(_numbers)}")
        return given[-1]

    yield make
    if given:
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            for schema in given:
                connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
