"""The pages a person asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.pages.page_ranges import parse_ranges, select_pages


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        (None, [1, 2, 3, 4, 5]),
        ("2", [2]),
        ("1-3", [1, 2, 3]),
        ("4-", [4, 5]),
        ("-2", [1, 2]),
        ("1-2,4,5-", [1, 2, 4, 5]),
        (" 1 - 2 , 4 ", [1, 2, 4]),
        ("03", [3]),
    ],
)
def test_a_selection_of_five_pages(text: str | None, pages: list[int]) -> None:
    assert select_pages(parse_ranges(text), 5) == pages


def test_pages_come_in_the_order_of_the_document_and_once_each() -> None:
    assert select_pages(parse_ranges("5,1-3,2-4"), 9) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("text", ["", "a", "1,,2", "1-2-3", "-", "1.5", "1;2", "--3", "²", "9999999999"])
def test_what_is_no_selection_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match="write, for example, 1-3,7,10-"):
        parse_ranges(text)


@pytest.mark.parametrize("text", ["0", "0-3", "2,0"])
def test_there_is_no_page_zero(text: str) -> None:
    with pytest.raises(InputError, match="counted from 1"):
        parse_ranges(text)


def test_a_range_that_runs_backwards_is_shown_the_right_way_round() -> None:
    with pytest.raises(InputError, match="'9-3' runs backwards; write 3-9"):
        parse_ranges("1,9-3")


@pytest.mark.parametrize("text", ["5", "1-5", "5-", "1,5"])
def test_a_page_beyond_the_end_is_refused_with_the_pages_there_are(text: str) -> None:
    with pytest.raises(InputError, match="page 5 is asked for, but there are 4 pages, 1-4"):
        select_pages(parse_ranges(text), 4)


@given(first=st.integers(1, 40), length=st.integers(0, 40), more=st.integers(0, 40))
def test_a_range_holds_its_ends_and_all_between(first: int, length: int, more: int) -> None:
    last = first + length
    assert select_pages(parse_ranges(f"{first}-{last}"), last + more) == list(range(first, last + 1))


@given(st.text(alphabet="0123456789-, ", max_size=12), st.integers(1, 50))
def test_any_selection_gives_pages_that_exist_or_one_line(text: str, count: int) -> None:
    try:
        pages = select_pages(parse_ranges(text), count)
    except InputError:
        return
    assert pages == sorted(set(pages))
    assert 1 <= pages[0] <= pages[-1] <= count
