"""The tables and texts of the live view in a terminal."""

import pytest
from rich.cells import cell_len
from rich.text import Text

from aioparcs.top.columns import Column, Order, Table
from aioparcs.top.tables import JOBS, LOG, POOLS, WORKERS
from aioparcs.top.texts import bar, colored, count, elapsed, fitted, plain, size, spark

ROWS = [("b", 2), ("a", 3), ("c", 1)]
TABLE = Table(
    (
        Column("NAME", 6, lambda row: str(row[0]), lambda row: row[0], grows=True),
        Column("SIZE", 5, lambda row: str(row[1]), lambda row: row[1], right=True, falls=True, rank=1),
        Column("NOTE", 8, lambda row: "note", rank=2),
    ),
    key=lambda row: row[0],
    words=lambda row: f"{row[0]} {row[1]}",
    empty="none",
)


def test_columns_are_left_out_where_there_is_no_room_and_grow_where_there_is() -> None:
    assert [(column.title, width) for column, width in TABLE.fit(30)] == [("NAME", 15), ("SIZE", 5), ("NOTE", 8)]
    assert [column.title for column, _ in TABLE.fit(20)] == ["NAME", "SIZE"]
    assert [column.title for column, _ in TABLE.fit(3)] == ["NAME"]


@pytest.mark.parametrize("table", [JOBS, WORKERS, POOLS, LOG])
@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_the_tables_of_the_pages_fit_into_each_width(table: Table, width: int) -> None:
    assert table.head(width, table.order).cell_len <= max(width, table.columns[0].width)


def test_rows_are_sorted_and_have_all_words_of_the_filter() -> None:
    assert TABLE.shown(ROWS, "", Order()) == ROWS
    assert [name for name, _ in TABLE.shown(ROWS, "", Order(0))] == ["a", "b", "c"]
    assert [name for name, _ in TABLE.shown(ROWS, "", Order(1, True))] == ["a", "b", "c"]
    assert TABLE.shown(ROWS, "A 3", Order()) == [("a", 3)]
    assert TABLE.shown(ROWS, "a 1", Order()) == []


def test_the_order_goes_through_the_columns_that_can_be_sorted_by() -> None:
    first = TABLE.next_order(Order())
    second = TABLE.next_order(first)
    assert (first, second, TABLE.next_order(second)) == (Order(0), Order(1, True), Order(0))
    assert TABLE.next_order(Order(), -1) == second
    assert TABLE.head(30, second).plain.split() == ["NAME", "SIZE▼", "NOTE"]


def test_texts_of_programs_are_one_safe_line() -> None:
    assert plain("a\x1b[2J\x1b]0;t\x07b\tc\u202e[bold]\n") == "ab  c[bold]"
    text = colored("\x1b[31mred\x1b[0m \x1b[2Jrest")
    assert text.plain == "red rest"
    assert [str(span.style) for span in text.spans] == ["color(1)"]


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0.0 s"), (9.94, "9.9 s"), (12.3, "12 s"), (99.4, "99 s"), (99.6, "1:40"), (3599.6, "1:00:00"),
     (7325, "2:02:05"), (200000, "2 d 7 h")],
)  # fmt: skip
def test_times(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


@pytest.mark.parametrize(
    "number, text",
    [(0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (999_600, "1.0 MB"), (34e6, "34 MB"), (2e9, "2.0 GB"),
     (5e12, "5000 GB")],
)  # fmt: skip
def test_sizes(number: float, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize("number, text", [(7, "7"), (99_999, "99,999"), (123_456, "123k"), (1_250_000, "1.2M")])
def test_counts(number: float, text: str) -> None:
    assert count(number) == text


def test_bars_and_columns() -> None:
    assert bar(0.5, 10).plain == "━━━━━─────"
    assert bar(None, 4).plain == "────"
    assert bar(1.5, 4).plain == "━━━━"
    assert spark([0, 1, 2, 4], 3) == "▃▅█"
    assert spark([], 3) == ""
    assert spark([0.0, 0.0], 3) == "▁▁"
    assert spark([0.1, 0.5], 3, 1.0) == "▁▅"


@pytest.mark.parametrize("text", ["short", "longer than that", "全角文字全角文字", "e\u0301galite\u0301 e\u0301"])
def test_texts_fill_their_columns(text: str) -> None:
    for width in (1, 2, 7, 8, 30):
        assert cell_len(fitted(Text(text), width).plain) == width
        assert cell_len(fitted(Text(text), width, right=True).plain) == width
