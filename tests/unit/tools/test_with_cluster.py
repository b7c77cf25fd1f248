"""Which Kubernetes `make test-cluster` tests on, and what is left of it; stand-ins for kind and docker."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from real_pipeline import wait_for

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tools" / "with_cluster.sh"
COMMAND = ("sh", "-c", 'echo "command ${KUBECONFIG:-none}" >>"$LOG"; exit "${COMMAND_CODE:-0}"')


class Machine:
    """A PATH with these stand-ins and the system's own tools, and what they were asked."""

    def __init__(self, folder: Path, **programs: str) -> None:
        """A program each: the lines that it runs after it has noted its arguments."""
        self.log = folder / "log"
        self.log.touch()
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name, lines in programs.items():
            file = self.bin / name
            file.write_text(f'#!/bin/sh\necho "{name} $*" >>"$LOG"\n{lines}\n')
            file.chmod(0o755)
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        for tool in ("sh", "mktemp", "rm", "sleep"):  # and no kind or docker that this machine may have
            found = next(path for path in (f"/bin/{tool}", f"/usr/bin/{tool}") if Path(path).exists())
            (self.bin / tool).symlink_to(found)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        given = {"PATH": str(self.bin), "LOG": str(self.log), "TMPDIR": str(self.tmp), **environment}
        words = ["/bin/sh", str(SCRIPT), "ringline:dev", *(command or COMMAND)]
        return subprocess.Popen(words, cwd=ROOT, env=given, preexec_fn=hears_interrupts)

    def run(self, *command: str, **environment: str) -> int:
        return self.start(*command, **environment).wait(30)

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()

    def verbs(self) -> list[str]:
        return [" ".join(line.split()[:2]) for line in self.asked]


def hears_interrupts() -> None:
    """Also where the tests run in a shell's background, which has them ignored: a shell cannot trap what was
    ignored when it began."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_kubeconfig_is_used_and_nothing_is_made(tmp_path: Path) -> None:
    machine = Machine(tmp_path, kind="", docker="")
    assert machine.run(KUBECONFIG="/mine") == 0
    assert machine.asked == ["command /mine"]


@pytest.mark.parametrize(
    "programs",
    [{}, {"docker": ""}, {"kind": ""}, {"kind": "", "docker": "exit 1"}],
    ids=["neither", "no kind", "no docker", "a docker without its daemon"],
)
def test_where_none_can_be_made_the_command_runs_without(tmp_path: Path, programs: dict[str, str]) -> None:
    machine = Machine(tmp_path, **programs)
    assert machine.run(COMMAND_CODE="7") == 7
    assert machine.asked[-1] == "command none"
    assert not [line for line in machine.asked if line.startswith("kind")]


def test_else_one_is_made_for_the_command_with_both_images_and_removed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, kind="", docker="")
    assert machine.run(COMMAND_CODE="7") == 7, "the command's own answer"
    assert machine.verbs()[:-1] == [
        *("docker info", "docker image", "docker build", "kind create", "kind load"),
        f"command {_used(machine)}",
    ]
    (load,) = [line for line in machine.asked if line.startswith("kind load")]
    assert {"ringline:dev", "ringline-servers:dev"} <= set(load.split())
    names = {line.partition("--name ")[2].split()[0] for line in machine.asked if line.startswith("kind")}
    assert len(names) == 1
    assert machine.verbs()[-1] == "kind delete"
    assert not Path(_used(machine)).parent.exists()


def _used(machine: Machine) -> str:
    (line,) = [line for line in machine.asked if line.startswith("command")]
    return line.split()[1]


def test_an_image_that_docker_has_not_is_built_first(tmp_path: Path) -> None:
    machine = Machine(tmp_path, kind="", docker='[ "$1" != image ]')
    assert machine.run() == 0
    assert "docker build --quiet --tag ringline:dev ." in machine.asked
    assert machine.verbs().index("docker build") < machine.verbs().index("kind create")


@pytest.mark.parametrize("verb", ["create", "load"])
def test_what_fails_is_told_and_nothing_is_left(tmp_path: Path, verb: str) -> None:
    machine = Machine(tmp_path, kind=f'[ "$1" != {verb} ] || exit 3', docker="")
    assert machine.run() == 3
    assert machine.verbs()[-1] == "kind delete"
    assert not [line for line in machine.asked if line.startswith("command")]
    assert not list(machine.tmp.iterdir())


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_whoever_ends_it_leaves_no_cluster(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    machine = Machine(tmp_path, kind="", docker="")
    stopped = tmp_path / "stopped"
    waits = f'echo command >>"$LOG"; until [ -e {stopped} ]; do sleep 0.05; done'
    running = machine.start("sh", "-c", waits)
    wait_for(lambda: "command" in machine.asked, "the command")
    os.kill(running.pid, sent)
    stopped.touch()  # a shell hears of a signal when its command has ended
    assert running.wait(30) == code
    assert machine.verbs()[-1] == "kind delete"
    assert not list(machine.tmp.iterdir())
