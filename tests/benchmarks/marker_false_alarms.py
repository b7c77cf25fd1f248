"""How often `@pytest.mark.performance` would fail a test whose code has not changed.

    python tests/benchmarks/marker_false_alarms.py [RUNS]

Each run times the same body in a fresh process with the marker's defaults; every pair is judged by the rule.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from pipeline.performance.false_alarms import false_alarms
from pipeline.performance.marked import Mark, measure

BODY = json.dumps({"prices": list(range(200)), "names": [f"n{number}" for number in range(100)]})


def body() -> None:
    """What a small test does: parse, look things up, put them together."""
    found = json.loads(BODY)
    places = {name: place for place, name in enumerate(found["names"])}
    sorted(found["prices"], key=lambda price: price % 17)
    assert len(places) == 100


def main(words: list[str]) -> None:
    if words == ["once"]:
        sys.stdout.write(json.dumps(measure(body, Mark()).costs))
        return
    runs = int(words[0]) if words else 40
    program = [sys.executable, __file__, "once"]
    costs = [json.loads(subprocess.run(program, capture_output=True, check=True).stdout) for _ in range(runs)]
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(false_alarms(costs))) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
