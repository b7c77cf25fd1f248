"""A user's models, asked in a process of their own (`model_child`): whatever they do, the event loop turns.

The process is ended when an answer takes `limits.MAX_CALL_S`, and begun again for the other models.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from pipeline import limits, valuation_limits
from pipeline.config.valuation import Model
from pipeline.errors import ConfigError
from pipeline.process import READY_FD
from pipeline.stages.valuation.model_child import HEAD_BYTES, Asked, Loading, Replied, Setup, framed
from pipeline.valuation.model import Answer
from pipeline.valuation.models import CUSTOM
from pipeline.valuation.quotes import Seen
from pipeline.valuation.strikes import ENDED, HUNG, Strikes

log = logging.getLogger(__name__)

Message = TypeVar("Message")
_RUN = (
    "import sys; fd, parent, sys.path[:] = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]; "
    "del sys.argv[1:]; "
    "from pipeline.stages.valuation.model_child import main; main(fd, parent)"
)
_TRACEBACK_S = 0.2
"""For the ended process to say where it was."""
_loading = msgspec.msgpack.Decoder(Loading)
_replied = msgspec.msgpack.Decoder(Replied)


class _LostError(Exception):
    """The process has ended, or says what it never should."""


class ModelProcess:
    """One task at a time may ask."""

    def __init__(self, models: Mapping[str, Model], call_s: float = limits.MAX_CALL_S) -> None:
        """Of `models` the user's own."""
        self._models = {name: model for name, model in models.items() if model.kind == CUSTOM}
        self._call_s = call_s
        self._strikes = Strikes()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: list[subprocess.Popen[bytes]] = []

    @property
    def left_out(self) -> Mapping[str, str]:
        """Models that are not asked any more, and why."""
        return self._strikes.left_out

    async def start(self) -> None:
        """Loads all that are not left out. Raises ConfigError when one cannot be loaded."""
        await self._reap()
        wanted = {name: model for name, model in self._models.items() if name not in self.left_out}
        if not wanted:
            return
        await self._spawn()
        try:
            await self._load(wanted)
        except BaseException:
            self._end()
            raise

    async def _load(self, wanted: dict[str, Model]) -> None:
        self._writer.write(framed(Setup(wanted)))
        loading = ""
        try:
            while (told := await self._read(_loading, limits.MAX_IMPORT_S)).model:
                loading = told.model
                if told.fault:
                    raise ConfigError([told.fault])
        except TimeoutError:
            why = f"its import did not come back within {limits.MAX_IMPORT_S} s"
            raise ConfigError([f"valuation.models.{loading}: {why}"]) from None
        except _LostError:
            raise ConfigError([f"valuation.models.{loading}: its import {ENDED}"]) from None

    async def ask(self, seen: Sequence[Seen]) -> list[dict[str, Answer]]:
        """Every model's answer to each, by its name."""
        answers: list[dict[str, Answer]] = [{} for _ in seen]
        for name in self._models:
            for found, answer in zip(answers, await self._answers(name, seen), strict=True):
                found[name] = answer
        await self._reap()
        return answers

    async def close(self) -> None:
        self._end()
        await self._reap()

    async def _answers(self, name: str, seen: Sequence[Seen]) -> list[Answer]:
        """Of one model. Once it is left out nothing of it is waited for."""
        answers: list[Answer] = []
        while len(answers) < len(seen) and name not in self.left_out and await self._is_there():
            await self._take(name, seen[len(answers) :], answers)
        reason = Answer(name, None, self.left_out.get(name, ""))
        return answers + [reason] * (len(seen) - len(answers))

    async def _take(self, name: str, seen: Sequence[Seen], answers: list[Answer]) -> None:
        """Adds the answers to all of `seen`, or to those until it ends its process or is left out."""
        whole = len(answers) + len(seen)
        try:
            for one in seen:
                self._writer.write(framed(Asked(name, one.mark.price, one.history)))
            while len(answers) < whole and name not in self.left_out:
                answers.append(await self._answer(name))
        except _LostError:
            self._strikes.ended(name)
            answers.append(Answer(name, None, ENDED))
            self._end()
        finally:
            if len(answers) < whole:  # what it still has to say is for nobody
                self._end()

    async def _answer(self, name: str) -> Answer:
        try:
            told = await self._read(_replied, self._call_s)
        except TimeoutError:
            self._strikes.leave_out(name, HUNG)
            await self._tell_where()
            self._end()
            return Answer(name, None, self.left_out[name])
        self._strikes.answered(name, told.fault, told.took_us)
        return Answer(name, told.price, told.fault)

    async def _is_there(self) -> bool:
        """Begins it again after its end. Where that fails nothing can be asked any more."""
        if self._process is None:
            try:
                await self.start()
            except ConfigError as error:
                for name in self._models.keys() - self.left_out.keys():
                    self._strikes.leave_out(name, str(error))
        return self._process is not None

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _begun(theirs.fileno())
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)

    async def _read(self, decoder: msgspec.msgpack.Decoder[Message], within_s: float) -> Message:
        try:
            async with asyncio.timeout(within_s):
                size = int.from_bytes(await self._reader.readexactly(HEAD_BYTES), "big")
                if size > valuation_limits.MAX_MODEL_FRAME_BYTES:
                    raise _LostError
                return decoder.decode(await self._reader.readexactly(size))
        except (OSError, EOFError, msgspec.MsgspecError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _LostError from None

    async def _tell_where(self) -> None:
        """Into the log, through the process's standard error."""
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR1)
            await asyncio.sleep(_TRACEBACK_S)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._writer.close()
            self._ended.append(self._process)
            self._process = None

    async def _reap(self) -> None:
        for process in self._ended:
            await asyncio.to_thread(process.wait)
        self._ended.clear()


def _begun(link_fd: int) -> subprocess.Popen[bytes]:
    """By this thread, and not by one that may end: the kernel would end the process with it."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _RUN, str(link_fd), str(os.getpid()), *sys.path],
        pass_fds=(link_fd,), start_new_session=True, stdin=subprocess.DEVNULL, stdout=2,
        env={name: value for name, value in os.environ.items() if name != READY_FD},
    )  # fmt: skip
