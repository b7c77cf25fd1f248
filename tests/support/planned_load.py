"""Load by a plan: so many events a second for so long, then others. The same plan posts the same events, and
those of a key in the same order, so that two runs of it have the same digest."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, NamedTuple

from chart_release import Release, until
from load_pod import Load

SCRIPT = """
import http.client, json, os, sys, threading, time
from pathlib import Path
from pipeline.signing import parse_secret, signed_headers

HOST, KEYS, THREADS = os.environ["GATEWAY"], 40, 4
secret = parse_secret(Path("/webhooks/demo.whsec").read_text().strip())
due_s, begun_s = [], 0.0
for rate, seconds in json.loads(os.environ["PLAN"]):
    due_s += [begun_s + turn / rate for turn in range(round(rate * seconds))]
    begun_s += seconds
accepted, answers, lock, start_s = [], {}, threading.Lock(), time.time()

def post(connection, number):
    body = json.dumps({"type": "signal", "symbol": f"K{number % KEYS}", "side": "buy",
                       "quantity": "1", "price": "10", "strategy": "load"}).encode()
    name = f"{os.environ['RUN']}-{number}"
    headers = {"content-type": "application/json"} | signed_headers(secret, name, int(time.time()), body)
    connection.request("POST", "/webhook/demo", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status

def client(thread):  # KEYS is a multiple of THREADS: a key has one thread, and so an order
    connection = http.client.HTTPConnection(HOST, 8001, timeout=5)
    for number in range(thread, len(due_s), THREADS):
        time.sleep(max(0, start_s + due_s[number] - time.time()))
        status = None
        while status != 202:
            try:
                status = post(connection, number)
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
                connection.close()
            with lock:
                answers[str(status)] = answers.get(str(status), 0) + 1
                if status == 202:
                    accepted.append((f"{os.environ['RUN']}-{number}", round(time.time(), 3)))
            if status != 202:
                time.sleep(0.05)

threads = [threading.Thread(target=client, args=(n,)) for n in range(THREADS)]
for thread in threads: thread.start()
while any(thread.is_alive() for thread in threads):
    Path("/tmp/next").write_text(str(len(accepted)))
    os.replace("/tmp/next", "/tmp/count")
    time.sleep(0.2)
print(json.dumps({"accepted": accepted, "answers": answers, "start_s": start_s}))
"""


class Phase(NamedTuple):
    """`rate` events a second for `seconds`."""

    rate: float
    seconds: float


class PlannedLoad(Load):
    """Posts what the plan says while the context lasts; `finish` waits for its end."""

    def __init__(self, release: Release, name: str, plan: list[Phase]) -> None:
        super().__init__(release, name)
        self.plan = plan
        self.start_s = 0.0
        """Wall clock, of its first event."""
        self.accepted_s: list[float] = []

    def __enter__(self) -> PlannedLoad:
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.release.kubectl("delete", "pod", self.name, "--grace-period=0", "--force", "--wait=true")

    def finish(self, within_s: float) -> None:
        """Waits for the end of the plan and reads what was accepted."""
        until("the plan ends", lambda: self._phase() == "Succeeded", within_s)
        told = json.loads(self.release.kubectl("logs", self.name).splitlines()[-1])
        self.accepted = [name for name, _ in told["accepted"]]
        self.accepted_s = sorted(at_s for _, at_s in told["accepted"])
        self.answers, self.start_s = told["answers"], told["start_s"]

    def _pod(self) -> dict[str, Any]:
        pod = super()._pod()
        [container] = pod["spec"]["containers"]
        container["command"] = ["python", "-c", SCRIPT]
        container["env"].append({"name": "PLAN", "value": json.dumps(self.plan)})
        return pod
