"""Waits until a gateway has been ready for ten seconds on end: an upgrade may still replace it."""

import sys
import time
import urllib.request

url, timeout_s, steady_s = sys.argv[1], float(sys.argv[2]), 10.0
until = time.monotonic() + timeout_s
since: float | None = None
while since is None or time.monotonic() - since < steady_s:
    try:
        urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
        since = since or time.monotonic()
    except OSError as error:
        since = None
        if time.monotonic() > until:
            sys.exit(f"{url}/readyz: not ready after {timeout_s:.0f} s: {error}")
    time.sleep(0.5)
