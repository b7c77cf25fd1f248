"""The valuation beside a pipeline: what was traded and what is posted are valued by the same marks, and a
restart forgets nothing."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from chart_release import CONFIG, NAME, Release, until

pytestmark = pytest.mark.slow

URL = f"http://{NAME}-ringline-valuation:8007"
ASK = (
    "import sys, urllib.error, urllib.request as r\n"
    "method, url, token, body = sys.argv[1:]\n"
    "headers = {'authorization': f'Bearer {token}', 'content-type': 'application/json'}\n"
    "request = r.Request(url, body.encode() or None, headers, method=method)\n"
    "try: print(200, r.urlopen(request, timeout=5).read().decode())\n"
    "except urllib.error.HTTPError as error: print(error.code, error.read().decode())"
)


@pytest.fixture(scope="module")
def valued() -> Iterator[Release]:
    release = Release(f"ringline-valuation-{os.getpid()}")
    release.make_namespace()
    try:
        release.installed_s = release.install("operator.enabled=false", "valuation.enabled=true")
        yield release
    finally:
        release.drop_namespace()


def asked(release: Release, method: str, path: str, body: object = None, role: str = "read") -> Any:
    """(status, answer), from another pod of the release."""
    kept = release.get("secret", f"{NAME}-ringline-valuation")["data"]
    token = base64.b64decode(kept[f"{role}.token"]).decode() if role else "none"
    text = "" if body is None else json.dumps(body)
    told = release.in_pod(release.pod("gateway"), "python", "-c", ASK, method, URL + path, token, text)
    status, _, answer = told.partition(" ")
    return int(status), json.loads(answer)


def traded(release: Release, *options: str) -> None:
    """An event about AAPL that is accepted."""
    words = ("ringline", "send", CONFIG, "--url", release.url, "--symbol=AAPL", *options)
    assert "202" in release.in_pod(release.pod("gateway"), *words)


def value_of(release: Release, domain: str, **book: object) -> Any:
    wanted: dict[str, object] = {"books": [{"domain": domain, **book}]} if book else {"domains": [domain]}
    status, answer = asked(release, "POST", "/v1/valuations", wanted | {"positions": True})
    assert status == 200, answer
    return answer["domains"][0]


def test_what_was_traded_is_valued_by_the_marks_that_were_traded_on(valued: Release) -> None:
    print(f"helm install with the valuation → all Ready: {valued.installed_s:.1f} s")
    traded(valued, "--side=buy", "--quantity=10", "--price=100")
    traded(
        valued, "--time=2026-01-02T16:00:00Z", "--open=100", "--high=104", "--low=99", "--close=103",
        "--volume=1000",
    )  # fmt: skip

    def marked() -> bool:
        return [one["quantity"] for one in value_of(valued, "pipeline")["positions"]] == ["10"]

    until("the mark and the fill have come", marked)
    own = value_of(valued, "pipeline")
    assert own["positions"][0]["price"] == "103"
    assert own["value"] == "1030"
    idea = value_of(valued, "idea", cash="1000", positions=[{"symbol": "AAPL", "quantity": "-2"}])
    assert (idea["nav"], idea["value"]) == ("794", "-206")


def test_who_has_no_token_values_nothing_and_who_reads_changes_nothing(valued: Release) -> None:
    assert asked(valued, "GET", "/v1/domains", role="")[0] == 401
    assert asked(valued, "PUT", "/v1/domains/desk", {"cash": "5", "positions": []})[0] == 401


def test_a_killed_valuation_comes_back_with_its_books_and_reads_on(valued: Release) -> None:
    book = {"cash": "5", "positions": [{"symbol": "AAPL", "quantity": "1"}]}
    assert asked(valued, "PUT", "/v1/domains/desk", book, role="control")[0] in (200, 201)
    pod = valued.pod("valuation")
    before = valued.get("pod", pod)["metadata"]["uid"]
    valued.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
    until("another valuation", lambda: valued.get("pod", pod)["metadata"]["uid"] != before)
    until("it values", lambda: value_of(valued, "desk")["nav"] == "108")
    traded(valued, "--side=buy", "--quantity=5", "--price=103")
    # The strategy's signal is a target of its own or adds to it: what counts is what the audit has.
    until("it has read on", lambda: asked(valued, "GET", "/v1/status")[1]["behind"] == 0)
    assert value_of(valued, "pipeline")["positions"][0]["symbol"] == "AAPL"


def test_the_pipeline_goes_on_without_it_and_an_upgrade_takes_it_away(valued: Release) -> None:
    valued.upgrade("operator.enabled=false")
    ours = ("-l", "app.kubernetes.io/component=valuation")
    until("its pod is gone", lambda: not valued.get("pods", *ours)["items"])
    assert "202" in valued.send("after")
    until("it is audited", lambda: "after" in valued.audited())
    valued.verify()
