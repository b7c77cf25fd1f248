"""The page for developers and the example script do what they say."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/telemetry.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
RINGLINE = f'#!/bin/sh\nexec {sys.executable} -m pipeline "$@"\n'


def ran(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_block_of_the_page_runs(number: int) -> None:
    ran("-W", "error", "-c", BLOCKS[number])


def test_the_page_has_its_blocks() -> None:
    assert (len(BLOCKS), len(COMMANDS), len(PROGRAMS)) == (4, 2, 1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_command_of_the_page_does_what_it_says_as_it_stands(tmp_path: Path) -> None:
    """But for the folder and the port, which others may use here."""
    directory = tempfile.mkdtemp(dir="/dev/shm")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])

    def here(text: str) -> str:
        return text.replace("/dev/shm/shop", directory).replace("9464", port)

    (tmp_path / "web.py").write_text(here(PROGRAMS[0]))
    for name, text in {"ringline": RINGLINE, "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n'}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = "trap 'echo FAILED: $BASH_COMMAND' ERR\n" + here("".join(COMMANDS)) + "kill %1; wait\n"
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RINGLINE_TELEMETRY_PORT": port,
        "RINGLINE_DATA_DIR": str(tmp_path / "data"),
    }
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    out = done.stdout
    assert [line for line in out.splitlines() if line.startswith("FAILED")] == ["FAILED: python web.py"], done
    for expected in (
        "writer",
        "ringline_writers_died_total 1",
        "worker web-0, pid",
        "never ended: 0.000 ms  ORDER_PLACEMENT begins  event ec8f1493",
        "\nec8f1493\n",
    ):
        assert expected in out, done
    assert re.search(
        r"worker web-0 \(pid \d+\) died; last sign of life \d\.\d s before this was seen, "
        r"inside ORDER_PLACEMENT for event ec8f1493",
        done.stderr,
    ), done
    assert "event ec8f1493\n```" in PAGE


def test_the_example_measures_and_reports() -> None:
    out = ran("-W", "error", str(ROOT / "examples/telemetry.py"))
    for expected in (
        "checkout              200 calls",
        "CANDLE_PROCESSING     200 calls",
        "handled: 200 backlog: 0",
    ):
        assert expected in out
