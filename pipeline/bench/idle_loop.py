"""An event loop that does nothing, in a process of its own: what the machine alone makes a loop late.

`python -m pipeline.bench.idle_loop EVERY_S` probes until its input ends, then prints the lags (ms) as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import uvloop

from pipeline.telemetry.probes import LoopProbe


class IdleLoop:
    """Runs from now on; `stop` gives what it has seen."""

    def __init__(self, every_s: float) -> None:
        command = (sys.executable, "-m", "pipeline.bench.idle_loop", str(every_s))
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self) -> list[float]:
        """The lags in milliseconds."""
        told, _ = self._process.communicate(timeout=30)
        found: list[float] = json.loads(told)
        return found


async def _probe(every_s: float) -> list[float]:
    loop = asyncio.get_running_loop()
    lags_ms: list[float] = []
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    probe = LoopProbe(loop, every_s, lambda _, lag_ns: lags_ms.append(lag_ns / 1e6))
    await ended.wait()
    probe.stop()
    return lags_ms


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(_probe(float(sys.argv[1])))))
