"""An agent whose strategy cannot be imported or made says so and does not start."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from own_strategy import write_strategy

SOON = """
import sys
from pipeline import limits
limits.MAX_CALL_S = limits.MAX_IMPORT_S = 1
from pipeline.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


def agent(folder: Path, *, imported: str = "pass", made: str = "pass") -> tuple[int, str]:
    mine = write_strategy(folder, imported=imported, made=made)
    source = f'trading.strategies={{"mine": {{"kind": "custom", "source": "{mine}"}}}}'
    folders = ("--set", f"data_dir={folder}/data", "--set", f"telemetry.directory={folder}/rings")
    done = subprocess.run(
        [sys.executable, "-c", SOON, "worker", "agent", "--set", source, *folders],
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_construction_that_goes_round_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    code, said = agent(tmp_path, made="while True: pass")
    assert code == 2
    assert "trading.strategies.mine: custom:" in said
    assert "takes more than 300000 instructions of Python" in said


@pytest.mark.parametrize("where", ["imported", "made"])
def test_one_that_hangs_is_ended_twice_and_then_refused(tmp_path: Path, where: str) -> None:
    for _ in range(2):
        assert agent(tmp_path, **{where: "time.sleep(600)"})[0] == -signal.SIGALRM
    code, said = agent(tmp_path, **{where: "time.sleep(600)"})
    assert code == 2
    assert "hung 2 times and is refused until its code or parameters change" in said
    assert "did not come back within 1 s" in said


@pytest.mark.parametrize(("where", "inside"), [("imported", "import of custom("), ("made", "construction")])
def test_where_one_left_the_process_is_said_by_the_next(tmp_path: Path, where: str, inside: str) -> None:
    assert agent(tmp_path, **{where: "os._exit(0)"})[0] == 0
    said = agent(tmp_path, **{where: "os._exit(0)"})[1]
    assert "agent-0 ended inside " in said
    assert inside in said
