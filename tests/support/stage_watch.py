"""What happens to one stage of a release, with the time of each: as its collectors tell it, and as the API
server tells it. Times are wall clock, which the nodes of one machine share with the tests."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from types import TracebackType
from typing import IO, NamedTuple

from chart_release import IMAGE, NAME, Release, until

SCRIPT = """
import http.client, json, os, threading, time

NAME, SENDER, STAGE, MOST = (os.environ[key] for key in ("NAME", "SENDER", "STAGE", "MOST"))
lock = threading.Lock()

def tell(kind, *values):
    with lock:
        print(json.dumps([kind, round(time.time(), 3), *values]), flush=True)

def snapshots(stage, ordinal, every_s):
    host, connection = f"{NAME}-{stage}-{ordinal}.{NAME}-{stage}", None
    while True:
        try:
            connection = connection or http.client.HTTPConnection(host, 9464, timeout=2)
            connection.request("GET", "/v1/snapshot")
            yield json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            connection = None
            yield None
        time.sleep(every_s if connection else 0.5)

def lag():  # of a stage, its senders tell
    last = None
    for snapshot in snapshots(SENDER, 0, 0.05):
        told = [one for one in (snapshot or {}).get("stages", ()) if one["stage"] == STAGE]
        if told and snapshot["taken_us"] != last:
            last = snapshot["taken_us"]
            tell("lag", told[0]["lag_ms"] or 0.0, told[0]["depth"])

def handled(ordinal):
    for snapshot in snapshots(STAGE, ordinal, 0.1):
        counts = [c["handled"] for one in (snapshot or {}).get("stages", ()) if one["stage"] == STAGE
                  for c in one["counts"] if c["window_s"] == 60]
        if snapshot is not None:
            tell("handled", ordinal, sum(counts), snapshot["uptime_s"])

threading.Thread(target=lag, daemon=True).start()
for number in range(int(MOST)):
    threading.Thread(target=handled, args=(number,), daemon=True).start()
threading.Event().wait()
"""


class Lag(NamedTuple):
    """As the collector of its sender tells it."""

    at_s: float
    lag_ms: float
    depth: int


class Handled(NamedTuple):
    """Messages that a replica has done within the last minute, as its own collector tells."""

    at_s: float
    ordinal: int
    done: int
    up_s: float


class Seen(NamedTuple):
    """A line that `kubectl get --watch` said: a name, and a value of it."""

    at_s: float
    name: str
    value: str


class Watching:
    """A `kubectl get --watch` whose lines are stamped as they come."""

    def __init__(self, release: Release, kind: str, column: str) -> None:
        columns = f"custom-columns=N:.metadata.name,V:{column}"
        command = ["kubectl", "--namespace", release.namespace, "get", kind, "--watch", "--no-headers"]
        self._process = subprocess.Popen(
            [*command, "-o", columns], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.seen: list[Seen] = []
        assert self._process.stdout is not None
        self._thread = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._thread.start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            name, _, value = line.strip().partition(" ")
            self.seen.append(Seen(time.time(), name, value.strip()))

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()


class StageWatch:
    """Use as a context manager; what was seen is complete after it."""

    def __init__(self, release: Release, stage: str, sender: str, most: int) -> None:
        self._release = release
        self._stage, self._sender, self._most = stage, sender, most
        self.name = f"watch-{stage}"
        self.set = f"{NAME}-ringline-{stage}"
        self.lags: list[Lag] = []
        self.handled: list[Handled] = []
        self.replicas: list[tuple[float, int]] = []
        """(when the API server told of it, how many are asked for); only changes."""
        self.ready: list[tuple[float, str]] = []
        """(when, pod)"""
        self.most: dict[str, int] = {}
        """Of every StatefulSet in the namespace, the most replicas that were asked for."""
        self.raised_first = ""
        """The StatefulSet whose replicas rose before all others'."""

    def __enter__(self) -> StageWatch:
        self._release.kubectl("apply", "-f", "-", stdin=json.dumps(self._pod()))
        until("the sampler samples", lambda: self._release.kubectl("logs", self.name))
        self._sets = Watching(self._release, "statefulsets", ".spec.replicas")
        self._pods = Watching(self._release, "pods", ".status.conditions[?(@.type=='Ready')].status")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._sets.end()
        self._pods.end()
        if error is None:
            self._read()
        self._release.kubectl("delete", "pod", self.name, "--grace-period=0", "--force", "--wait=true")

    def _read(self) -> None:
        for line in self._release.kubectl("logs", self.name).splitlines():
            kind, *values = json.loads(line)
            if kind == "lag":
                self.lags.append(Lag(*values))
            else:
                self.handled.append(Handled(*values))
        for seen in self._sets.seen:
            before = self.most.get(seen.name, int(seen.value))
            if int(seen.value) > before and not self.raised_first:
                self.raised_first = seen.name
            self.most[seen.name] = max(before, int(seen.value))
            if seen.name == self.set and (not self.replicas or self.replicas[-1][1] != int(seen.value)):
                self.replicas.append((seen.at_s, int(seen.value)))
        well: set[str] = set()
        for seen in self._pods.seen:
            if not seen.name.startswith(f"{self.set}-"):
                continue
            if seen.value == "True" and seen.name not in well:
                self.ready.append((seen.at_s, seen.name))
            (well.add if seen.value == "True" else well.discard)(seen.name)

    def _pod(self) -> dict[str, object]:
        env = {"NAME": f"{NAME}-ringline", "SENDER": self._sender, "STAGE": self._stage, "MOST": self._most}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": "watch",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", SCRIPT],
                    "env": [{"name": key, "value": str(value)} for key, value in env.items()],
                    "securityContext": {
                        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }],
            },
        }  # fmt: skip
