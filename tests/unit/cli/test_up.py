"""`ringline up` as a process of its own, with stand-in workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.cli.up import own_words
from pipeline.supervisor import is_running

ROOT = Path(__file__).parents[3]
OWN = f"{sys.executable} -m pipeline"
"""How `python -c` is told to start it: no file of its own."""
UP = textwrap.dedent("""
    import functools, sys
    import pipeline.cli.up as up
    from pipeline.cli.app import run
    from pipeline.supervisor import Supervisor
    worker = sys.argv.pop(1)
    up.Supervisor = functools.partial(
        Supervisor, command=lambda _, file: [sys.executable, "-c", worker]
    )
    sys.exit(run(sys.argv[1:]))
""")
SERVES = (
    "from pipeline.process import *; stop = StopFlag(); stop.listen(); die_with_parent();"
    "announce_ready(); stop.wait(60)"
)
REFUSES = "import sys; from pipeline.process import *; announce_failure('port 9464 is in use'); sys.exit(3)"
CRASHES = "import sys; sys.exit('no luck')"


def heed_hang_up() -> None:
    """Whoever started the tests may ignore it (`nohup`), and then so does what they start."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def up(tmp_path: Path, worker: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", UP, worker, "up", "--set", f"data_dir={tmp_path}/a folder", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_hang_up,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_ready(process: subprocess.Popen[str]) -> str:
    """What it printed until the last line of its announcement."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.startswith(f"  {OWN} status"):
            break
    return text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 0)])
def test_it_runs_until_it_is_told_to_stop_and_drains(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with up(tmp_path, SERVES) as process:
        text = until_ready(process)
        assert is_running(f"{tmp_path}/a folder")
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == code
    assert said == "stopping: every stage has 10 s to drain\n"
    assert not is_running(f"{tmp_path}/a folder")
    assert "gateway-0  http://127.0.0.1:8001\n" in text
    assert "Webhooks: POST http://127.0.0.1:8001/webhook/demo\n" in text


def test_the_line_to_paste_chooses_the_same_configuration(tmp_path: Path) -> None:
    with up(tmp_path, SERVES, "--set", "agent.workers=2") as process:
        text = until_ready(process)
        process.terminate()
        process.communicate(timeout=30)
    chosen = f"--set 'data_dir={tmp_path}/a folder' --set agent.workers=2"
    assert f"  {OWN} send {chosen} --symbol AAPL --side buy" in text
    assert f"  {OWN} status {chosen}\n" in text


def test_the_line_to_paste_starts_the_program_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ringline").touch(0o755)
    module = tmp_path / "__main__.py"
    module.touch(0o644)
    running = str(tmp_path / "here/ringline")
    monkeypatch.setenv("PATH", str(tmp_path / "here"))
    assert own_words(running) == ("ringline",)
    assert own_words(str(module)) == (sys.executable, "-m", "pipeline")
    monkeypatch.setenv("PATH", str(tmp_path / "there"))
    assert own_words(running) == (running,)
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    assert own_words("here/ringline") == ("here/ringline",)


def test_a_worker_that_cannot_start_is_one_line_and_exit_3(tmp_path: Path) -> None:
    with up(tmp_path, REFUSES) as process:
        out, said = process.communicate(timeout=30)
        assert process.returncode == 3
    assert (out, said) == ("", "ringline: collector cannot start: port 9464 is in use\n")


def test_a_worker_that_keeps_crashing_ends_it_with_one_clear_line(tmp_path: Path) -> None:
    with up(tmp_path, CRASHES, "--set", "supervisor.restarts=1") as process:
        _, said = process.communicate(timeout=30)
        assert process.returncode == 3
    assert said.splitlines() == [
        "collector: no luck",
        "collector exited with 1; restart 1 of 1 within 60 s in 50 ms",
        "collector: no luck",
        (
            "ringline: collector exited with 1, and its budget of 1 restarts within 60 s is spent; "
            "everything stops"
        ),
    ]


def test_a_second_one_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with up(tmp_path, SERVES) as first:
        until_ready(first)
        with up(tmp_path, SERVES) as second:
            _, said = second.communicate(timeout=30)
            assert second.returncode == 3
        first.terminate()
        first.communicate(timeout=30)
    assert f"in use by the pipeline with pid {first.pid}; stop it, or choose another" in said
