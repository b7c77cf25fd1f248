"""Load from within a cluster: a pod that posts signed events until it is told to stop, and says which of them
were accepted. Each is posted again under its id until it is, as a sender does that wants none lost."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

from chart_release import IMAGE, NAME, Release, until

SCRIPT = """
import http.client, json, os, sys, threading, time
from pathlib import Path
from pipeline.signing import parse_secret, signed_headers

HOST, RATE, KEYS, THREADS = os.environ["GATEWAY"], float(os.environ["RATE"]), int(os.environ["KEYS"]), 4
secret = parse_secret(Path("/webhooks/demo.whsec").read_text().strip())
stop, accepted, answers, lock = Path("/tmp/stop"), [], {}, threading.Lock()

def client(number):
    connection, turn, due = None, 0, time.monotonic()
    while not stop.exists():
        turn += 1
        name = f"{os.environ['RUN']}-{number}-{turn}"
        body = json.dumps({"type": "signal", "symbol": f"K{(turn * THREADS + number) % KEYS}", "side": "buy",
                           "quantity": "1", "price": "10", "strategy": "load"}).encode()
        while True:
            headers = {"content-type": "application/json"}
            headers |= signed_headers(secret, name, int(time.time()), body)
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(HOST, 8001, timeout=5)
                connection.request("POST", "/webhook/demo", body, headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
                if answer.will_close:
                    connection.close(); connection = None
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
                if connection is not None:
                    connection.close()
                connection = None
            with lock:
                answers[str(status)] = answers.get(str(status), 0) + 1
                if status == 202:
                    accepted.append(name)
            if status == 202:
                break
            time.sleep(0.05)
        due = max(due + THREADS / RATE, time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))

threads = [threading.Thread(target=client, args=(n,)) for n in range(THREADS)]
for thread in threads: thread.start()
while any(thread.is_alive() for thread in threads):
    Path("/tmp/next").write_text(str(len(accepted)))
    os.replace("/tmp/next", "/tmp/count")  # whoever reads finds a whole number
    time.sleep(0.2)
print(json.dumps({"accepted": accepted, "answers": answers}))
"""


class Load:
    """A pod that posts `rate` events a second, of `keys` symbols in turn, for as long as the context lasts;
    `accepted` afterwards. The fewer the keys, the less even are the replicas' shares of them."""

    def __init__(self, release: Release, name: str, rate: float = 100, keys: int = 40) -> None:
        self.release = release
        self.name = name
        self.rate = rate
        self.keys = keys
        self.accepted: list[str] = []
        self.answers: dict[str, int] = {}

    def __enter__(self) -> Load:
        self.release.kubectl("apply", "-f", "-", stdin=json.dumps(self._pod()))
        until("load flows", lambda: self.count() > 10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            self.release.kubectl("exec", self.name, "--", "touch", "/tmp/stop")
            until("load stops", lambda: self._phase() == "Succeeded")
            told = json.loads(self.release.kubectl("logs", self.name).splitlines()[-1])
            self.accepted, self.answers = told["accepted"], told["answers"]
        self.release.kubectl("delete", "pod", self.name, "--grace-period=0", "--force", "--wait=true")

    def count(self) -> int:
        """Events accepted so far."""
        return int(self.release.kubectl("exec", self.name, "--", "sh", "-c", "cat /tmp/count || echo 0"))

    def more(self, events: int = 200) -> None:
        """Waits until so many more have been accepted."""
        wanted = self.count() + events
        until(f"{events} more events", lambda: self.count() >= wanted)

    def _phase(self) -> str:
        return str(self.release.get("pod", self.name)["status"]["phase"])

    def _pod(self) -> dict[str, Any]:
        mounts = [("webhooks", "/webhooks"), ("tmp", "/tmp")]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": "load",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", SCRIPT],
                    "env": [
                        {"name": "GATEWAY", "value": f"{NAME}-ringline-gateway"},
                        {"name": "RATE", "value": str(self.rate)},
                        {"name": "KEYS", "value": str(self.keys)},
                        {"name": "RUN", "value": self.name},
                    ],
                    "securityContext": {
                        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts],
                }],
                "volumes": [
                    {"name": "webhooks", "secret": {"secretName": f"{NAME}-ringline-webhooks"}},
                    {"name": "tmp", "emptyDir": {}},
                ],
            },
        }  # fmt: skip
