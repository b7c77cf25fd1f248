"""Rows are read once for all clients; those who can wait have them read together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

from some_rows import some_rows
from traded import write_audit

from pipeline.config import Config, load
from pipeline.stages.feed.readers import Readers
from pipeline.stages.feed.tail import Listener, Tail
from pipeline.storage.audit.engines import open_reader
from pipeline.storage.audit.query import Filter
from pipeline.storage.audit.rows import AuditRow

ROWS = some_rows()
FOREVER_S = 60.0


class Desk:
    """A tail over a real audit, which the test writes and nudges."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._readers = Readers(lambda: open_reader(config))
        self.heard: list[bool] = []
        self.made: list[int] = []
        self.tail = Tail(self._readers, self._made, FOREVER_S, self.heard.append)

    def _made(self, row: AuditRow) -> str:
        self.made.append(row.seq)
        return f"row {row.seq}"

    def write(self, first: int, last: int) -> None:
        """Rows `first` to `last` are there, and whoever listens is nudged."""
        write_audit(self._config, ROWS[first - 1 : last])
        if not self.heard or self.heard[-1]:
            self.tail.nudged.set()

    async def until(self, seq: int) -> None:
        async with asyncio.timeout(20):
            while self.tail.head < seq:
                await self.tail.wait(seq - 1, 20)

    def close(self) -> None:
        self._readers.close()


def play(folder: Path, story: Callable[[Desk], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        desk = Desk(load(assignments=[f"data_dir={folder}/data"]))
        desk.write(1, 1)
        running = asyncio.create_task(desk.tail.run())
        try:
            await story(desk)
        finally:
            running.cancel()
            desk.close()

    asyncio.run(whole())


def test_what_nobody_wants_is_made_only_for_who_comes_later_and_then_once(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.tail.join(Listener(Filter(keys=("B",))))
        desk.write(2, 7)
        await desk.until(7)
        assert desk.made == [2, 5]  # the rows of B
        rows = desk.tail.after(1, 10)
        assert rows is not None
        assert [ready.text for ready in rows + rows] == 2 * [f"row {seq}" for seq in range(2, 8)]
        assert sorted(desk.made) == [2, 3, 4, 5, 6, 7]

    play(tmp_path, story)


def test_who_can_wait_has_rows_read_together_until_somebody_comes_who_cannot(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.tail.join(Listener(delay_ms=1000 * int(FOREVER_S)))
        await quiet(desk)  # after its first look
        hurried = Listener()
        desk.write(2, 3)
        for _ in range(100):
            await asyncio.sleep(0)
        assert desk.tail.head == 1
        await desk.tail.join(hurried)
        await desk.until(3)
        assert desk.heard[-1]
        desk.write(4, 4)
        await desk.until(4)

    play(tmp_path, story)


def test_once_only_patient_ones_are_left_no_nudge_is_heard_while_they_wait(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        patient, hurried = Listener(delay_ms=1000 * int(FOREVER_S)), Listener()
        await desk.tail.join(hurried)
        await desk.tail.join(patient)
        desk.write(2, 2)
        await desk.until(2)
        desk.tail.leave(hurried)
        desk.write(3, 3)
        await quiet(desk)
        seen = desk.tail.head
        desk.write(4, 4)
        for _ in range(100):
            await asyncio.sleep(0)
        assert desk.tail.head == seen
        desk.tail.leave(patient)
        assert not desk.heard[-1]

    play(tmp_path, story)


async def quiet(desk: Desk) -> None:
    """Until the tail hears no nudges, as everybody waits."""
    async with asyncio.timeout(20):
        while not desk.heard or desk.heard[-1]:
            await asyncio.sleep(0)
