"""One test from its beginning to its report: pipeline, generators, drain, audit, verdicts.

Whatever happens on the way (nobody there, a wrong secret, a pipeline that dies, a full disk, Ctrl-C), it
ends in a report of what was measured until then, and no process of its own is left.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from loadtests import limits
from loadtests.audit import audit_end, check_audit
from loadtests.build import GENERATOR, dead_for_s, make_facts, make_report
from loadtests.drain import Drained, look, watch_drain
from loadtests.facts import Audited, Ending
from loadtests.gates import judge
from loadtests.generators import Generators
from loadtests.ledger import SUFFIX
from loadtests.pipeline_child import PipelineChild
from loadtests.preflight import check
from loadtests.progress import Progress
from loadtests.render import write
from loadtests.report import Report
from loadtests.samples import Samples
from loadtests.settings import Gates, load_gates
from loadtests.shapes import judged_step
from loadtests.tally import Collected, Moment
from loadtests.task import Task, secret_of, shape_of
from pipeline.errors import MissingError, RinglineError
from pipeline.process import StopFlag

LOOK_EVERY_S = 0.2
INTERRUPTED = "it was interrupted"


class InterruptedTestError(RinglineError):
    """Somebody asked it to stop."""


class LoadTest:
    """One run of one task. `say` gets a line now and then."""

    def __init__(self, task: Task, stop: StopFlag, say: Callable[[str], None]) -> None:
        self.task = task
        self.shape = shape_of(task)
        self.gates: Gates = load_gates(Path(task.gates_file) if task.gates_file else None)
        self._stop = stop
        self._say = say
        self._folder = Path(task.folder)
        self._collected = Collected()
        self._pipeline: PipelineChild | None = None
        self._generators: Generators | None = None
        self._samples = Samples(task, self._own_processes)
        self._started_s = time.time()
        self._ran_s = 0.0
        self._before = 0
        self._accepted_before: int | None = None

    def run(self) -> Report:
        """The report, which is written by then."""
        fault, missing = "", False
        try:
            self._begin()
            self._generate()
        except InterruptedTestError:
            fault = INTERRUPTED
        except MissingError as error:
            fault, missing = str(error), True
        except BaseException:
            self._end_generators()
            self._end_pipeline()
            raise
        self._end_generators()
        ending = Ending(ran_s=self._ran_s, fault=fault, missing=missing)
        try:
            report = self._finish(ending)
        finally:
            self._end_pipeline()
        self._clear(report)
        return report

    # ---- before -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self.task.start:
            self._say("starting the pipeline")
            self._pipeline = PipelineChild(self.task)
            if not self._pipeline.wait_ready(self._stop.is_set):
                raise InterruptedTestError
        check(self.task, secret_of(self.task.secret_file, self.task.secret_env))
        if (self.task.data_dir or self.task.audit_url) and not self.task.start:
            self._before = audit_end(self.task)
        gateway = look(self.task.gateway_url)
        self._accepted_before = gateway.accepted if gateway is not None else None
        self._samples.start()

    # ---- meanwhile --------------------------------------------------------------------------------------

    def _generate(self) -> None:
        shape = self.shape
        task_file = self._folder / "task.json"
        task_file.write_bytes(msgspec.json.encode(self.task))
        self._say(f"{shape.name}: {shape.about}; {shape.duration_s:,.0f} s, peak {shape.peak_per_s:,.0f}/s")
        generators = self._generators = Generators(self.task, task_file)
        progress = Progress(shape, self._collected, self._samples, self._say)
        asked_s = time.monotonic()
        while generators.running:
            for moments in generators.poll(LOOK_EVERY_S):
                self._take(moments)
            if self._stop.is_set():
                raise InterruptedTestError
            if self._pipeline is not None and (gone := self._pipeline.gone()):
                raise MissingError(gone)
            if not self._collected.seconds:
                if time.monotonic() > asked_s + limits.START_S:
                    raise MissingError(f"the generator was not ready within {limits.START_S:g} s")
                continue
            self._ran_s = min(shape.duration_s, max(0.0, time.time() - self._started_s))
            within = time.time() < self._started_s + shape.duration_s
            if within and dead_for_s(self._collected.ordered(), time.time()) >= limits.DEAD_S:
                raise MissingError(f"nothing was answered for {limits.DEAD_S} s: the pipeline is down")
            progress.tell(time.time() - self._started_s)
        if failure := generators.failure():
            raise MissingError(failure)
        self._ran_s = shape.duration_s

    def _take(self, moments: list[Moment]) -> None:
        for moment in moments:
            if not self._collected.seconds:
                self._started_s = float(moment.second)
            elapsed_s = moment.second + 0.5 - self._started_s
            step = judged_step(self.shape, elapsed_s, self.gates.recover_s)
            self._collected.add([moment], step)

    def _own_processes(self) -> list[tuple[str, int]]:
        generators = self._generators
        if generators is None:
            return []
        return [(f"{GENERATOR}-{number}", pid) for number, pid in enumerate(generators.pids)]

    # ---- after ------------------------------------------------------------------------------------------

    def _finish(self, ending: Ending) -> Report:
        began = bool(self._collected.seconds)
        drained = Drained(None, 0.0, None)
        audited: Audited | None = None
        audit_fault = "the test did not begin"
        if began:
            self._say("draining")
            drained = watch_drain(self.task.gateway_url, self._is_gone)
        self._samples.stop()
        if began:
            audited, audit_fault = self._read_audit(drained)
        facts = make_facts(
            self.task, self.shape, self.gates, self._collected, self._samples, ending, self._started_s,
            (drained.took_s, drained.watched_s), audited, audit_fault,
        )  # fmt: skip
        verdicts = judge(facts, self.gates)
        report = make_report(self.task, facts, verdicts, self._collected, self._samples, self._started_s)
        self._write(report)
        return report

    def _clear(self, report: Report) -> None:
        """What only takes space; of a failed test it is evidence."""
        if not report.ok:
            return
        for file in self._folder.glob(f"*{SUFFIX}"):
            file.unlink()
        if self.task.start and not self.task.keep_data:
            shutil.rmtree(self.task.data_dir, ignore_errors=True)

    def _write(self, report: Report) -> None:
        """Where the test is; on a full disk where temporary files are."""
        try:
            write(report, self._folder)
        except OSError as error:
            elsewhere = Path(tempfile.mkdtemp(prefix="ringline-loadtest-"))
            self._say(f"{self._folder}: {error.strerror}; the report is in {elsewhere}")
            write(report, elsewhere)

    def _read_audit(self, drained: Drained) -> tuple[Audited | None, str]:
        if not (self.task.data_dir or self.task.audit_url):
            return None, "it is not of this machine; give --audit with the URL of its HTTP, and --token-file"
        self._say("reading the audit")
        journalled = None
        last = drained.last or look(self.task.gateway_url)
        if last is not None and self._accepted_before is not None and not self._restarted():
            journalled = last.accepted - self._accepted_before
        try:
            return check_audit(self.task, self._before, journalled), ""
        except MissingError as error:
            return None, str(error)

    def _restarted(self) -> bool:
        """Whether the gateway counts from its new beginning."""
        return any(
            restarts for name, restarts in self._samples.restarts.items() if name.startswith("gateway")
        )

    def _is_gone(self) -> bool:
        return self._pipeline is not None and bool(self._pipeline.gone())

    def _end_generators(self) -> None:
        if self._generators is not None:
            for moments in self._generators.stop():
                self._take(moments)

    def _end_pipeline(self) -> None:
        if self._pipeline is not None:
            self._say("stopping the pipeline")
            self._pipeline.stop()
