"""Says in the service's last moment what a model that does not come back has done: the service cannot.

The alarm that ends it is the kernel's, and nothing of its own runs any more. So a copy of the process, made
before it opens anything, waits on a pipe for its end, and looks whether it was a model's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipeline import limits
from pipeline.stages.call_watch import called


def tell_of_a_hang(folder: Path, name: str) -> None:
    """Call it while the process has one thread and no sockets. `folder`: that of `call_watch`."""
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os.close(read)
        os.set_inheritable(write, False)
        return  # `write` stays open as long as the process lives
    try:
        os.setsid()  # Ctrl-C and a supervisor's signals are not for it
        os.close(write)
        os.read(read, 1)
        if text := last_words(folder, name):
            os.write(2, text.encode())
    finally:
        os._exit(0)


def last_words(folder: Path, name: str) -> str:
    """What to say of an ended process; "" where no model was the reason."""
    hung = folder / f"{name}.hung"
    tag = called(folder, name)
    if not tag or not hung.exists() or not hung.stat().st_size:
        return ""
    return (
        f"ringline: valuation: the model {tag} did not come back within {limits.MAX_CALL_S} s, and the "
        f"service was ended. Start it again: it then leaves this model out until its code changes; "
        f"{hung} says where it hung\n"
    )
