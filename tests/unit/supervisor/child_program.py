"""A small worker for the supervisor's tests: `child_program.py NAME BEHAVIOUR FOLDER`.

It keeps a diary: FOLDER/NAME.pids has a line for each incarnation, FOLDER/left one for each orderly end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pipeline.process import StopFlag, announce_failure, announce_ready, die_with_parent


def _note(file: Path, line: str) -> None:
    with file.open("a") as diary:
        diary.write(line + "\n")


def main(name: str, behaviour: str, folder: Path) -> int:
    what, *words = behaviour.split(":")
    stop = StopFlag()
    stop.listen(leave_after_s=float(words[0]) if what == "deaf" else 30.0)
    die_with_parent()
    _note(folder / f"{name}.pids", str(os.getpid()))
    if what == "refuse":
        announce_failure(words[1])
        return int(words[0])
    if what == "crash":
        print("about to crash", file=sys.stderr)
        return 1
    if what == "refuse-later" and len((folder / f"{name}.pids").read_text().split()) == int(words[0]):
        announce_failure("port 1 is in use")
        return 3
    if what == "environment":
        print(os.environ.get(words[0], "not set"), file=sys.stderr)
    announce_ready()
    if what == "crash-when-ready":
        return 1
    if what == "talk":
        print("good morning\nand good night", file=sys.stderr)
    while not (stop.wait(60) and what != "deaf"):
        time.sleep(0.01)
    _note(folder / "left", name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
