"""A user's models in their own process: whatever they do, the event loop turns and the others answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from valuation_desk import serve_here

from pipeline.config.valuation import Model
from pipeline.errors import ConfigError
from pipeline.messages import Candle
from pipeline.stages.valuation.model_process import ModelProcess
from pipeline.valuation.model import Answer
from pipeline.valuation.quotes import POSTED, Mark, Seen

MODELS = """
import ctypes, os, re, time
class Good:
    def price(self, mark, bars): return mark + len(bars)
class Waits:
    def price(self, mark, bars):
        time.sleep(0.2)
        return mark
class Hangs:
    def price(self, mark, bars): re.match(r"(a+)+$", "a" * 60 + "b")
class Ends:
    def price(self, mark, bars): os._exit(3)
class Loops:
    def price(self, mark, bars):
        while True: pass
class Raises:
    def price(self, mark, bars): raise KeyboardInterrupt
"""
SEEN = Seen("A", Mark(5, 2, 2, POSTED), (Candle("A", 1, 3, 3, 3, 3, 7),))


def models(folder: Path, *names: str) -> dict[str, Model]:
    (folder / "mine.py").write_text(MODELS)
    return {name: Model(kind="custom", source=f"{folder}/mine.py:{name}") for name in names}


async def turns_during(work: Coroutine[Any, Any, Any]) -> tuple[Any, int]:
    """What it answers, and how often the event loop turned meanwhile."""
    task, turns = asyncio.ensure_future(work), 0
    while not task.done():
        await asyncio.sleep(0.005)
        turns += 1
    return task.result(), turns


def test_each_model_answers_each_symbol_from_the_mark_and_all_bars(tmp_path: Path) -> None:
    async def asked() -> None:
        process = ModelProcess({**models(tmp_path, "Good", "Raises"), "last": Model(kind="last")})
        await process.start()
        try:
            answers = await process.ask([SEEN, SEEN])
            assert [set(one) for one in answers] == [{"Good", "Raises"}] * 2
            assert answers[1]["Good"] == Answer("Good", 7, ""), "the posted mark is one of two bars"
            assert answers[1]["Raises"] == Answer("Raises", None, "raised KeyboardInterrupt")
        finally:
            await process.close()

    asyncio.run(asked())


def test_one_that_waits_in_c_stalls_nobody_and_is_left_out(tmp_path: Path) -> None:
    async def asked() -> None:
        process = ModelProcess(models(tmp_path, "Good", "Waits"))
        await process.start()
        try:
            answers, turns = await turns_during(process.ask([SEEN] * 10))
            assert [one["Waits"].price for one in answers] == [5, 5, 5] + [None] * 7
            assert turns > 10, "in 0.6 s"
            assert [one["Good"].price for one in answers] == [7] * 10
            assert process.left_out["Waits"].startswith("took more than 100 ms, 3 times")
            assert (await process.ask([SEEN]))[0]["Good"].price == 7
        finally:
            await process.close()

    asyncio.run(asked())


def test_one_that_computes_in_c_for_ever_is_ended_and_the_others_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def asked() -> None:
        process = ModelProcess(models(tmp_path, "Good", "Hangs"), call_s=0.5)
        await process.start()
        try:
            answers, turns = await turns_during(process.ask([SEEN]))
            assert turns > 10
            assert "did not come back" in process.left_out["Hangs"]
            assert answers[0]["Hangs"].fault == process.left_out["Hangs"]
            again = await process.ask([SEEN, SEEN])
            assert [one["Good"].price for one in again] == [7, 7]
            assert [one["Hangs"].fault for one in again] == [process.left_out["Hangs"]] * 2
        finally:
            await process.close()

    asyncio.run(asked())
    assert "mine.py" in capfd.readouterr().err, "it says where it was"


@pytest.mark.parametrize(("name", "fault"), [("Ends", "ended its process"), ("Loops", "instructions")])
def test_one_that_ends_its_process_or_does_not_end_is_asked_three_times(
    tmp_path: Path, name: str, fault: str
) -> None:
    async def asked() -> None:
        process = ModelProcess(models(tmp_path, "Good", name))
        await process.start()
        try:
            for number in range(1, 5):
                (answer,) = await process.ask([SEEN])
                assert answer["Good"].price == 7
                assert fault in answer[name].fault
                assert (name in process.left_out) == (number >= 3)
        finally:
            await process.close()

    asyncio.run(asked())


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import os; os._exit(1)", "valuation.models.mine: its import ended its process"),
        ("class Mine: pass", "valuation.models.mine: custom: .*: has no method price"),
        ("class Mine:\n    async def price(self, mark, bars): return 1", "its price is `async def`"),
    ],
)
def test_one_that_cannot_be_loaded_is_named_at_the_start(tmp_path: Path, code: str, fault: str) -> None:
    (tmp_path / "mine.py").write_text(code)
    mine = {"mine": {"kind": "custom", "source": f"{tmp_path}/mine.py:Mine"}, "last": {"kind": "last"}}
    with pytest.raises(ConfigError, match=fault), serve_here(tmp_path, models=mine):
        pass


def test_marks_wait_for_the_users_models_and_the_service_does_not(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODELS)
    mine = {"mine": {"kind": "custom", "source": f"{tmp_path}/mine.py:Waits"}, "last": {"kind": "last"}}
    with serve_here(tmp_path, models=mine) as served:
        _, turns = served.run(turns_during(served.service.desk.post_mark("A", 50_000, 1)))
        assert turns > 10
        told = {one["model"]: one["price"] for one in served.ask("GET", "/v1/marks/A").body["models"]}
        assert told == {"last": "5", "mine": "5"}
        for _ in range(2):
            served.ask("PUT", "/v1/marks/A", {"price": "6"})
        assert "3 times" in served.ask("GET", "/v1/status").body["left_out"]["mine"]
        served.ask("PUT", "/v1/marks/A", {"price": "7"})
        told = {one["model"]: one["fault"] for one in served.ask("GET", "/v1/marks/A").body["models"]}
        assert "3 times" in told["mine"]
