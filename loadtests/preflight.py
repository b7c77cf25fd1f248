"""Before the first event: is there a gateway, does it take events, and does it know our secret?"""

from __future__ import annotations

import time

from loadtests.ids import id_number, webhook_id
from loadtests.task import Task
from loadtests.web import fetch, problem_detail
from pipeline.errors import MissingError
from pipeline.signing import Secret, signed_headers

NO_EVENT = b"{"
"""Signed well and no JSON: it tells a wrong secret (401) from a right one (400), and trades nothing."""
LAST = 0xFFFF_FFFF


def check(task: Task, secret: Secret) -> None:
    """Raises MissingError saying what is wrong."""
    page = fetch(f"{task.gateway_url}/readyz")
    if page.status != 200:
        said = problem_detail(page.body) or f"it answers {page.status}"
        raise MissingError(f"{task.gateway_url}/readyz: takes no events: {said}")
    name = webhook_id(task.run, id_number(LAST, LAST))
    headers = signed_headers(secret, name, int(time.time()), NO_EVENT)
    url = f"{task.gateway_url}/webhook/{task.source}"
    page = fetch(url, method="POST", body=NO_EVENT, headers=headers)
    if page.status == 401:
        raise MissingError(f"{url}: does not know this secret ({secret.name}): {problem_detail(page.body)}")
    if page.status == 404:
        raise MissingError(f"{url}: has no source {task.source!r}")
    if page.status != 400:
        said = problem_detail(page.body)
        raise MissingError(f"{url}: answers {page.status} to a signed body that is no JSON, not 400: {said}")
