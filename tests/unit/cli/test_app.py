"""The command line as a whole: what `--help` costs, how failures look, which exit codes they have."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest

import pipeline
from pipeline.cli import app
from pipeline.errors import ConfigError, MissingError, RinglineError

ROOT = Path(__file__).parents[3]
HEAVY = ("numpy", "uvicorn", "zmq", "rich", "asyncio", "uvloop", "sqlite3", "msgspec", "pipeline.config")


def ringline(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Lets the command `status` fail, whatever it is asked."""

    @click.command("status")
    def command() -> None:
        raise error

    monkeypatch.setattr(app.LazyGroup, "get_command", lambda self, ctx, name: command)


def test_help_imports_nothing_that_a_command_needs() -> None:
    program = (
        "import sys; from pipeline.cli.app import run; code = run(['--help']);"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"
    assert all(f"  {name} " in done.stdout for name in app.COMMANDS)


def test_the_version_is_the_package_s() -> None:
    assert ringline("--version").stdout == f"ringline {pipeline.__version__}\n"


def every_command() -> list[tuple[str, click.Command]]:
    found = []
    context = click.Context(app.ringline, info_name="ringline")
    for name in app.COMMANDS:
        command = app.ringline.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", inner) for sub, inner in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), every_command())
def test_every_command_explains_itself_with_an_example(name: str, command: click.Command) -> None:
    assert command.help is not None
    assert re.search(rf"Example:\n\s+(.*\| )?ringline {name.split()[0]}", command.help)


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = dict(every_command())[name]
    assert command.name == name
    assert command.help is not None
    assert command.help.startswith(app.COMMANDS[name])


def test_an_unknown_command_names_the_nearest(capfd: pytest.CaptureFixture[str]) -> None:
    assert app.run(["stauts"]) == 2
    expected = "ringline: no such command: 'stauts'; did you mean `status`? (see `ringline --help`)\n"
    assert capfd.readouterr().err == expected


def test_a_command_unlike_any_gets_the_list(capfd: pytest.CaptureFixture[str]) -> None:
    assert app.run(["xyzzy"]) == 2
    assert "here are run, up, status" in capfd.readouterr().err


def test_a_wrong_option_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert app.run(["config", "check", "--colour"]) == 2
    said = capfd.readouterr().err
    assert said.startswith("ringline: no such option")
    assert said.endswith("(see `ringline config check --help`)\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError(["one", "two"]), 2), (MissingError("one"), 3), (RinglineError("one"), 1)]
)
def test_errors_for_people_are_lines_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: RinglineError, code: int
) -> None:
    fail_with(monkeypatch, error)
    assert app.run(["status"]) == code
    assert capfd.readouterr().err == "".join(f"ringline: {line}\n" for line in str(error).splitlines())


def test_a_bug_is_one_line_and_a_file_with_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fail_with(monkeypatch, ZeroDivisionError("of the universe"))
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path))
        assert app.run(["status"]) == 1
    said = capfd.readouterr().err
    (file,) = tmp_path.iterdir()
    assert said == (f"ringline: unexpected ZeroDivisionError: of the universe; the traceback is in {file}\n")
    text = file.read_text()
    assert "Traceback (most recent call last)" in text
    assert pipeline.__version__ in text
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_crash_file_goes_to_the_data_folder_once_that_is_known(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pipeline.cli import app, output
        import pipeline.cli.config as config
        config.print_json = None
        sys.exit(app.run(sys.argv[1:]))
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, "config", "show", "--json", "--set", f"data_dir={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [path.parent.name for path in tmp_path.rglob("ringline-crash-*")] == ["crash"]


def test_a_crash_that_cannot_be_written_down_is_still_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fail_with(monkeypatch, ZeroDivisionError())
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
        assert app.run(["status"]) == 1
    assert (
        "ringline: unexpected ZeroDivisionError; and the traceback cannot be written"
        in capfd.readouterr().err
    )


def test_ctrl_c_is_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert app.run(["status"]) == 128 + signal.SIGINT
    assert capfd.readouterr().err.strip() == "ringline: interrupted"


@pytest.mark.parametrize("words", [["config", "schema"], ["backtest", "--history"]])
def test_a_reader_that_has_had_enough_is_not_an_error(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")
