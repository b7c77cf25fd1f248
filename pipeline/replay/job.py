"""The main job, `ringline run`: real history in, an audited and verified outcome out, and a report of it.

start workers → client posts → every accepted event has its row → stop → verify → report
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.connection import local_address
from pipeline.errors import EXIT_NO, EXIT_OK, MissingError, RinglineError, UsageError
from pipeline.process import StopFlag
from pipeline.replay.audience import Audience
from pipeline.replay.audit_view import AuditView, Verified
from pipeline.replay.build import Course, build_report
from pipeline.replay.drive import Drive
from pipeline.replay.facts import Facts, Match
from pipeline.replay.history import History, first, read_history
from pipeline.replay.live import Watch, open_watch
from pipeline.replay.render_html import render_html
from pipeline.replay.render_markdown import render_markdown
from pipeline.replay.render_text import print_report
from pipeline.replay.report import Report, encode_report
from pipeline.replay.running import Running
from pipeline.replay.sampler import Sampler
from pipeline.replay.spec import Progress, Rate

FILE_WIDTH = 120


class RunOptions(Struct, frozen=True, kw_only=True):
    """What `ringline run` was called with.

    `data_dir` must be empty or not exist: a run starts from nothing, so that digests compare; None is a
    fresh folder beside the report. `rate` is events per second, None the highest. `json` prints the report
    as JSON on stdout, everything else on stderr. With `page` the live page is served, the first candle waits
    for somebody to look at it, and the pipeline stays until it is told to end.
    """

    limit: int | None = None
    rate: Rate | None = None
    data_dir: Path | None = None
    runs_dir: Path = Path("runs")
    plain: bool = False
    json: bool = False
    page: bool = False


def run(config: Config, options: RunOptions) -> int:
    """Does the whole job; returns its exit code: 0 only if all accepted is audited once and verifies.

    Raises RinglineError, a line or more, when it cannot even start.
    """
    console = make_console(options)
    folder = new_folder(options.runs_dir, datetime.now(UTC))
    data_dir = options.data_dir if options.data_dir is not None else folder / "data"
    check_empty(data_dir)
    feed = msgspec.structs.replace(config.feed, enabled=options.page, page=options.page)
    config = msgspec.structs.replace(config, data_dir=str(data_dir), feed=feed)
    check_new_audit(config)
    planned = first(read_history(), options.limit)
    stop = StopFlag()
    stop.listen()
    course = Job(config, options, planned, folder.name, console, stop).run()
    report = judged(config, planned, course)
    write_report(folder, report)
    if options.json:
        sys.stdout.write(encode_report(report).decode())
    else:
        print_report(report, console)
        console.print(f"Report: {folder}/report.json, .md, .html", markup=False, soft_wrap=True)
    return EXIT_OK if report.ok else course.exit_code or EXIT_NO


def make_console(options: RunOptions) -> Console:
    """Where the run is shown. What is no terminal has no width that a table should be cut to."""
    console = Console(stderr=options.json, highlight=False)
    return console if console.is_terminal else Console(stderr=options.json, highlight=False, width=FILE_WIDTH)


class Job:
    """The run itself, from the first worker's start to the last one's end."""

    def __init__(
        self,
        config: Config,
        options: RunOptions,
        planned: History,
        run_id: str,
        console: Console,
        stop: StopFlag,
    ) -> None:
        self._options = options
        self._planned = planned
        self._stop = stop
        self._course = Course(run_id=run_id)
        clock = SystemClock()
        self._now_ns = clock.monotonic_ns
        self._watch: Watch = open_watch(console, clock, plain=options.plain)
        self._sampler = Sampler(clock.monotonic_ns())
        self._running = Running(config, self._watch.say)
        self._drive = Drive(self._running, stop, self._look, clock)
        self._audience: Audience | None = None
        if options.page:
            url = f"http://{local_address(config.feed.host)}:{config.feed.port}/"
            self._audience = Audience(self._running, stop, url, _saying(console))

    def run(self) -> Course:
        """Raises RinglineError only when nothing had been posted yet; later faults are in the course."""
        course = self._course
        try:
            with self._running:
                if self._running.start(self._stop):
                    course.ready_s = time.monotonic() - course.started_s
                    self._watched_post() if self._audience is not None else self._post()
                else:
                    course.faults.append("interrupted before the pipeline was ready")
        finally:
            self._watch.close()
        course.restarts = self._running.supervisor.restarts
        course.memory = self._running.highest_memory
        course.moments = tuple(self._sampler.moments)
        return course

    def _watched_post(self) -> None:
        """The same before an audience. What goes wrong while it stays is a fault of the run as well."""
        assert self._audience is not None
        if not self._audience.wait():
            self._course.faults.append("interrupted before the first candle")
            return
        self._sampler = Sampler(self._now_ns())
        self._post()
        if not self._course.faults:
            try:
                self._audience.stay()
            except RinglineError as error:
                self._course.faults.extend(str(error).splitlines())

    def _post(self) -> None:
        """Replays and settles. What goes wrong on the way is noted and does not raise."""
        course = self._course
        task = self._running.task(course.run_id)
        task = msgspec.structs.replace(task, limit=self._options.limit, rate=self._options.rate)
        try:
            course.result = self._drive.post(task)
            if course.result.fault:
                course.faults.append(course.result.fault)
            self._drive.settle(course.result)
        except RinglineError as error:
            course.faults.extend(str(error).splitlines())
            course.exit_code = error.exit_code
        if self._stop.is_set():
            course.faults.append("interrupted")
        course.last_row_ns = self._drive.last_row_ns
        accepted = course.result.total if course.result is not None else 0
        course.snapshot = self._running.last_snapshot(accepted)

    def _look(self, phase: str, progress: Progress | None) -> None:
        now_ns = self._now_ns()
        if self._sampler.due(now_ns):
            running = self._running
            view = self._sampler.take(now_ns, phase, progress, running.audited(), running.snapshot())
            self._watch.update(view)


def _saying(console: Console) -> Callable[[str], None]:
    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    return say


def judged(config: Config, planned: History, course: Course) -> Report:
    """Verifies what the run left and makes the report of it."""
    started_s = time.monotonic()
    facts = Facts(config.trading, max(map(len, planned.values()), default=1))
    view = AuditView(config)
    try:
        for row in view.rows():
            facts.add(row)
        verified = view.verify()
    except MissingError as error:
        verified = Verified(False, str(error), "")
    finally:
        view.close()
    accepted = course.result.accepted if course.result is not None else {}
    match = Match(course.run_id, planned, accepted, facts)
    course.verify_s = time.monotonic() - started_s
    return build_report(course, planned, facts, match, verified)


def write_report(folder: Path, report: Report) -> None:
    """`report.json`, `report.md` and `report.html` in `folder`. Raises MissingError when it cannot."""
    try:
        (folder / "report.json").write_bytes(encode_report(report))
        (folder / "report.md").write_text(render_markdown(report), encoding="utf-8")
        (folder / "report.html").write_text(render_html(report), encoding="utf-8")
    except OSError as error:
        raise MissingError(f"report in {folder}: {error}") from None


def new_folder(runs_dir: Path, now: datetime) -> Path:
    """A fresh folder named after the start time; a second run of the same second gets a number."""
    name = now.strftime("%Y-%m-%dT%H-%M-%SZ")
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        folder = runs_dir / f"{name}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise MissingError(f"runs folder {runs_dir}: {error}") from None
        return folder
    raise MissingError(f"runs folder {runs_dir}: holds 99 runs of {name}")


def check_new_audit(config: Config) -> None:
    """Refuses an audit with rows in it, which one on a server may have though the data folder is new."""
    view = AuditView(config)
    rows = view.length()
    view.close()
    if rows:
        raise UsageError(
            f"audit.postgres_schema {config.audit.postgres_schema}: has {rows} rows; a run starts "
            "from nothing, so that its digest can be compared: name a new one"
        )


def check_empty(data_dir: Path) -> None:
    """Refuses a data folder that something has been in; configured secrets may lie there."""
    try:
        found = sorted(path.name for path in data_dir.iterdir() if path.name != "secrets")
    except FileNotFoundError:
        return
    except OSError as error:
        raise MissingError(f"data_dir {data_dir}: {error}") from None
    if found:
        raise UsageError(
            f"data_dir {data_dir}: not empty ({', '.join(found[:3])}); a run starts from nothing, so that "
            "its digest can be compared"
        )
