"""`helm test`: posts one signed event and waits until nothing that the gateway accepted is unsettled."""

import subprocess
import sys
import time
import urllib.request

url, source, timeout_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
until = time.monotonic() + timeout_s


def unsettled() -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("ringline_gateway_journal_depth "):
                return float(line.split()[1])
    sys.exit("the gateway's /metrics has no ringline_gateway_journal_depth")


subprocess.run(
    [
        "ringline",
        "send",
        "--config=/etc/ringline/ringline.json",
        f"--url={url}",
        f"--source={source}",
        "--symbol=HELM.TEST",
        "--side=close",
        f"--id=helm-test-{time.time_ns()}",
    ],
    check=True,
)
while waiting := unsettled():
    if time.monotonic() > until:
        sys.exit(f"{waiting:.0f} accepted events are not settled after {timeout_s:.0f} s")
    time.sleep(0.1)
print("accepted, decided, executed and audited")
