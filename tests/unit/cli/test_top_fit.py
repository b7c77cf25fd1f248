"""A table on a narrow terminal: no figure is ever cut."""

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from pipeline.cli.top_fit import GAP, fit

TEXTS = st.text("abcdefghij ", min_size=1, max_size=30).map(lambda text: text.strip() or "x")


def drawn(table: Table, width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as caught:
        console.print(table)
    return caught.get().splitlines()


def table_of(rows: list[tuple[str, int, int, str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for heading, right in (("name", False), ("first", True), ("second", True), ("why", False)):
        table.add_column(heading, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for name, first, second, why in rows:
        table.add_row(name, str(first), str(second), why)
    return table


@given(
    st.lists(st.tuples(TEXTS, st.integers(0, 10**9), st.integers(0, 10**9), TEXTS), min_size=1, max_size=4),
    st.integers(34, 100),
)
def test_a_figure_is_whole_or_its_column_is_gone(rows: list[tuple[str, int, int, str]], width: int) -> None:
    table = fit(table_of(rows), width, ("second",))
    headings = [str(column.header) for column in table.columns]
    assert {"name", "first", "why"} <= set(headings)
    lines = drawn(table, width)
    assert all(len(line) <= width for line in lines)
    for line, (_, first, second, _) in zip(lines[1:], rows, strict=True):
        assert str(first) in line
        assert str(second) in line or "second" not in headings


def test_words_are_shortened_the_longest_first_and_what_fits_is_left_alone() -> None:
    rows = [("n" * 20, 1, 2, "w" * 10)]
    whole = fit(table_of(rows), 80, ("second",))
    assert [column.width for column in whole.columns] == [20, 5, 6, 10]
    narrow = fit(table_of(rows), 35, ("second",))
    assert [column.width for column in narrow.columns] == [9, 5, 6, 9]


def test_what_is_to_be_whole_goes_rather_than_be_cut() -> None:
    table = fit(table_of([("n" * 20, 1, 2, "w" * 12)]), 30, ("why",), whole=("why",))
    assert [str(column.header) for column in table.columns] == ["name", "first", "second"]
