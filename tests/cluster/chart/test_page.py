"""The live page of a release: every pod, every link, what the operator decided, and controls of its own."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from chart_release import CONFIG, NAME, Release, installed, until
from load_pod import Load

pytestmark = pytest.mark.slow

SETS = (
    "feed.controls.enabled=true",
    "config.exec.venue_latency_ms=100",
    "config.exec.venue_concurrency=1",
    "config.links.credit=16",
    "config.links.depth=4",
    "exec.maxReplicas=3",
)
"""One exec has room for 10 a second."""
FRAME = """
import json, sys, urllib.request
headers = {"authorization": "Bearer " + sys.argv[1]}
asked = urllib.request.Request("http://127.0.0.1:8006/v1/live", headers=headers)
found, kind = {}, ""
for line in urllib.request.urlopen(asked, timeout=20):
    name, _, value = line.decode().rstrip().partition(": ")
    if name == "event":
        kind = value
    elif name == "data" and kind in ("hello", "frame", "steps"):
        found[kind] = json.loads(value)
        if kind == "frame" and {"hello", "steps"} <= set(found):
            break
print(json.dumps(found))
"""
"""Prints what the page is told first, as a holder of the token."""
CONTROL = """
import json, sys, urllib.error, urllib.request
body = json.dumps({"action": sys.argv[2], "id": sys.argv[3], "reason": "a test"}).encode()
asked = urllib.request.Request("http://127.0.0.1:8006/v1/control", body,
    {"authorization": "Bearer " + sys.argv[1], "content-type": "application/json"})
try:
    with urllib.request.urlopen(asked, timeout=40) as answer:
        print(json.dumps([answer.status, json.loads(answer.read())]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, json.loads(error.read())]))
"""
POST = """
import json, sys, time, urllib.error, urllib.request
from pathlib import Path
from pipeline.signing import parse_secret, signed_headers
secret = parse_secret(Path("/etc/ringline/page/page.whsec").read_text().strip())
body = sys.argv[2].encode()
headers = {"content-type": "application/json"} | signed_headers(secret, "by-hand", int(time.time()), body)
try:
    urllib.request.urlopen(urllib.request.Request(sys.argv[1], body, headers), timeout=20)
    print(202)
except urllib.error.HTTPError as error:
    print(error.code, json.loads(error.read())["type"].rpartition("/")[2])
"""
"""What whoever got into the page's container could post."""


@pytest.fixture(scope="module")
def shown() -> Iterator[Release]:
    with installed(f"ringline-page-{os.getpid()}", *SETS) as release:
        yield release


def token(release: Release, role: str) -> str:
    return base64.b64decode(release.get("secret", f"{NAME}-ringline-feed")["data"][f"{role}.token"]).decode()


def in_page(release: Release, *command: str) -> str:
    return release.kubectl("exec", release.pod("audit"), "-c", "feed", "--", *command)


def told(release: Release, role: str = "read") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(in_page(release, "python", "-c", FRAME, token(release, role)))
    return found


def control(release: Release, role: str, action: str, name: str) -> tuple[int, dict[str, Any]]:
    status, said = json.loads(in_page(release, "python", "-c", CONTROL, token(release, role), action, name))
    return status, said


def test_it_shows_every_pod_every_link_and_what_was_decided(shown: Release) -> None:
    def all_of_it() -> bool:
        found = told(shown)["frame"]
        links = {(one["sender"], one["receiver"]) for one in found["links"] if one["state"] == "up"}
        names = {one["name"] for one in found["replicas"]}
        sentences = " ".join(one["sentence"] for one in found["decisions"])
        return (
            {"gateway-0", "agent-0", "exec-0", "exec-1", "audit-0", "feed"} <= names
            and {("gateway-0", "agent-0"), ("agent-0", "exec-0"), ("agent-0", "exec-1")} <= links
            and {("exec-0", "audit-0"), ("exec-1", "audit-0")} <= links
            and "exec 1 → " in sentences
        )

    with Load(shown, "load-page", rate=25, keys=12):
        until("all of it is shown", all_of_it)
        steps = {one["event"]: one for one in told(shown)["steps"]["minute"]}
        assert all(steps[event]["count"] for event in ("GATEWAY_RECEIVE", "FILL_GENERATION", "END_TO_END"))


def test_who_may_control_can_and_the_audit_says_that_the_page_did(shown: Release) -> None:
    assert (told(shown, "control")["hello"]["role"], told(shown, "control")["hello"]["why_not"]) == (
        "control",
        "",
    )
    assert control(shown, "read", "halt", "page-1")[0] == 401
    status, said = control(shown, "control", "halt", "page-1")
    assert status == 202, said
    assert control(shown, "control", "halt", "page-1") == (202, said), "the same id is the same event"

    def rows() -> list[dict[str, Any]]:
        text = shown.in_pod(shown.pod("audit"), "ringline", "explain", said["event_id"], "--json", CONFIG)
        found: list[dict[str, Any]] = json.loads(text)
        return found

    found = until("its rows", rows)
    assert {(row["source"], row["webhook_id"]) for row in found} == {("page", "page-1")}
    assert control(shown, "control", "resume", "page-2")[0] == 202


def test_what_the_page_has_is_good_for_controls_alone(shown: Release) -> None:
    assert "webhooks" not in in_page(shown, "ls", "/etc/ringline").split()
    assert "page" not in shown.in_pod(shown.pod("audit"), "ls", "/etc/ringline").split()
    order = {"type": "signal", "symbol": "AAPL", "side": "buy", "quantity": "1", "price": "10"}
    posted = in_page(shown, "python", "-c", POST, f"{shown.url}/webhook/page", json.dumps(order))
    assert posted.split() == ["403", "forbidden-event"]
    as_demo = in_page(shown, "python", "-c", POST, f"{shown.url}/webhook/demo", json.dumps(order))
    assert as_demo.split() == ["401", "bad-signature"]


def test_without_being_asked_for_there_are_no_controls_and_the_page_says_why(shown: Release) -> None:
    shown.upgrade(*SETS[1:])
    hello = until("the page of now", lambda: told(shown, "control")["hello"])
    assert "demo.whsec" in hello["why_not"]
    assert control(shown, "control", "halt", "page-3")[0] == 503
    assert "page" not in in_page(shown, "ls", "/etc/ringline").split()
