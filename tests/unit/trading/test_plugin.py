"""A user's code is found, imported and made under guard."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_strategy import write_strategy

from pipeline import limits
from pipeline.trading.plugin import HungError, NoWatch, find_plugin, guarded, look_for, said, watch_calls
from pipeline.trading.strategies.custom import GROUP, Custom
from pipeline.valuation.custom import CustomModel


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Installed, with entry points of all kinds."""
    (tmp_path / "ringline_foo.py").write_text("NUMBER = 7\nclass Good: pass\n")
    info = tmp_path / "ringline_foo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ringline-foo\nVersion: 1.0\n")
    points = ("good = ringline_foo:Good", "number = ringline_foo:NUMBER", "nowhere = ringline_nowhere:X")
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *points, ""]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ringline_foo", raising=False)
    return "ringline_foo"


class Watched:
    """Writes down what is watched, and refuses one tag."""

    def __init__(self, refused: str = "") -> None:
        self.entered: list[tuple[str, float | None]] = []
        self.refused = refused

    def enter(self, tag: str, limit_s: float | None = None) -> None:
        if self.refused and tag.startswith(self.refused):
            raise HungError(tag)
        self.entered.append((tag, limit_s))

    def leave(self) -> None:
        pass


@pytest.fixture
def unwatched_afterwards() -> Iterator[None]:
    yield
    watch_calls(NoWatch())


@pytest.mark.usefixtures("unwatched_afterwards")
def test_importing_and_making_it_is_watched_as_its_steps_are_and_under_other_names(tmp_path: Path) -> None:
    watch = Watched()
    watch_calls(watch)
    made = Custom(write_strategy(tmp_path), {})
    digest = made.tag.removeprefix("custom(").partition(",")[0]
    assert watch.entered[0] == (f"import of custom({digest})", limits.MAX_IMPORT_S)
    assert {tag for tag, _ in watch.entered[1:]} == {f"{made.tag}: its construction"}
    assert limits.MAX_IMPORT_S < limits.START_S, "a worker says itself what hung"


@pytest.mark.usefixtures("unwatched_afterwards")
def test_a_model_is_imported_and_made_under_watch_too(tmp_path: Path) -> None:
    watch = Watched()
    watch_calls(watch)
    CustomModel(write_strategy(tmp_path), {})
    first, second = watch.entered
    assert first[0].startswith("import of custom(")
    assert second[0].endswith(": its construction")


@pytest.mark.usefixtures("unwatched_afterwards")
def test_what_hung_while_it_was_imported_is_refused_in_words(tmp_path: Path) -> None:
    watch_calls(Watched("import of"))
    with pytest.raises(ValueError, match="cannot be loaded: hung 2 times and is refused until its code"):
        Custom(write_strategy(tmp_path), {})


@pytest.mark.parametrize("kind", [Custom, CustomModel])
def test_a_construction_that_does_not_end_is_counted(tmp_path: Path, kind: type) -> None:
    source = write_strategy(tmp_path, made="while True: pass")
    with pytest.raises(ValueError, match="custom: ") as caught:
        kind(source, {})
    assert str(caught.value) == (
        f"custom: {source}: it cannot be made of its parameters: takes more than "
        f"{limits.MAX_STRATEGY_INSTRUCTIONS} instructions of Python"
    )


@pytest.mark.parametrize("error", ["SystemExit(0)", "BaseException('x')", "ZeroDivisionError()"])
@pytest.mark.parametrize("kind", [Custom, CustomModel])
def test_whatever_a_construction_raises_is_a_line(tmp_path: Path, kind: type, error: str) -> None:
    with pytest.raises(ValueError, match=f"of its parameters: {error.partition('(')[0]}"):
        kind(write_strategy(tmp_path, made=f"raise {error}"), {})


@pytest.mark.usefixtures("package")
def test_an_entry_point_that_is_no_class_is_told(tmp_path: Path) -> None:
    assert callable(find_plugin("good", GROUP)[0])
    with pytest.raises(ValueError, match="custom: ") as caught:
        find_plugin("number", GROUP)
    assert str(caught.value) == "custom: number: the entry point ringline_foo:NUMBER is int, not a class"


def test_looking_for_a_source_runs_nothing_of_it(tmp_path: Path, package: str) -> None:
    look_for(write_strategy(tmp_path, made="pass"), GROUP)
    (tmp_path / "runs.py").write_text("import os\nos._exit(3)\nclass Mine: pass\n")
    look_for(f"{tmp_path}/runs.py:Mine", GROUP)
    look_for("good", GROUP)
    assert package not in sys.modules


def test_a_class_that_another_module_gives_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "all.py").write_text("from somewhere import *\n")
    look_for(f"{tmp_path}/all.py:Mine", GROUP)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{folder}/none.py:Mine", "{folder}/none.py:Mine: No such file or directory"),
        ("{folder}/mine.py:Yours", "{folder}/mine.py:Yours: the file has no class Yours"),
        ("{folder}/bad.py:Mine", "{folder}/bad.py:Mine: cannot be loaded: SyntaxError: "),
        ("nowhere", "nowhere: the entry point ringline_nowhere:X: no module named 'ringline_nowhere'"),
        ("other", f"source = 'other': neither FILE.py:CLASS nor an installed entry point of {GROUP}"),
    ],
)
def test_a_source_that_cannot_be_is_told_without_running_it(
    tmp_path: Path, source: str, problem: str
) -> None:
    write_strategy(tmp_path)
    (tmp_path / "bad.py").write_text("class Mine\n")
    with pytest.raises(ValueError, match="custom: ") as caught:
        look_for(source.format(folder=tmp_path), GROUP)
    assert str(caught.value).startswith(f"custom: {problem.format(folder=tmp_path)}")


def test_an_error_that_cannot_say_itself_is_named_all_the_same() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert said(MuteError()) == "MuteError: "


def test_a_copy_that_a_user_s_code_forks_does_not_go_on() -> None:
    child = guarded("forking", os.fork)
    if not child:
        os._exit(0)  # only a copy that goes on comes here
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "our own forks do"
