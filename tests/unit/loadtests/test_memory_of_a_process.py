"""What a load test takes for a process's memory."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

from loadtests.samples import read_process

SIZE = 32 << 20
CODE = """
import mmap, sys
file = open(sys.argv[1], "rb")
seen = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(seen[::4096])
print("ready", flush=True)
sys.stdin.readline()
own = bytearray(int(sys.argv[2]))
own[::4096] = b"x" * len(own[::4096])
print("grown", flush=True)
sys.stdin.readline()
"""


def test_what_it_allocates_counts_and_what_it_reads_of_files_does_not(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(os.urandom(SIZE))
    with subprocess.Popen(
        (sys.executable, "-c", CODE, str(file), str(SIZE)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        before = memory_bytes(child.pid)
        assert before < SIZE
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "grown\n"
        assert SIZE * 0.9 < memory_bytes(child.pid) - before < SIZE * 1.2
        child.stdin.write("\n")


def memory_bytes(pid: int) -> int:
    found = read_process(pid, 0.0)
    assert found is not None
    assert found.memory_bytes is not None
    return found.memory_bytes


assert mmap.PAGESIZE == 4096, "what the child touches is a byte of every page"
