"""What a page break has cut is joined where there is no doubt, and only there; nothing is lost."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tables import table_texts
from written_pages import model_texts, transcript_of

from dsocr.document import Document, join_pages, to_markdown

HEAD = "<tr><th>a</th><th>b</th></tr>"
LABELS = ["text", "text", "table", "header", "footer", "page_number", "footnote", "image", "title", ""]
WORDS = [
    "It goes on",
    "and on",
    "with a hy-",
    "phen.",
    "12",
    "# Head",
    "- item",
    "\n\n",
    "a) item",
    "漢字",
    "ⓐ",
    "·",
    "well-known",
]
TABLES = [f"<table>{HEAD}<tr><td>1</td><td>2</td></tr></table>", "<table><td>3<td>4</table>"]


def tagged(label: str, text: str) -> str:
    return f"<|ref|>{label}<|/ref|><|det|>[[1, 2, 300, 400]]<|/det|>\n{text}\n\n" if label else text


pages_of_text = st.lists(
    st.lists(
        st.builds(
            tagged, st.sampled_from(LABELS), st.one_of(st.sampled_from(WORDS + TABLES), table_texts, model_texts)
        ),
        max_size=3,
    ).map("".join),
    max_size=4,
)


def document_of(*raws: str, **fields) -> Document:
    return Document("a.pdf", tuple(transcript_of(raw, number, **fields) for number, raw in enumerate(raws, 1)))


def joined(*raws: str) -> list[str]:
    """The Markdown of each page after joining."""
    return [to_markdown(page) for page in join_pages(document_of(*raws)).transcripts]


def text(words: str) -> str:
    return tagged("text", words)


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        ("It goes", "on here.", "It goes on here."),
        ("It goes,", "on here", "It goes, on here"),
        ("It con-", "tinues.", "It continues."),
        ("In 2019", "there was", "In 2019 there was"),
        ("One.\n\nIt goes", "on.\n\nTwo.", "One.\n\nIt goes on."),
        ("- an item that goes", "on", "- an item that goes on"),
        ("Жизнь про-", "должается", "Жизнь продолжается"),
    ],
)
def test_a_paragraph_that_goes_on_is_joined(first, second, whole):
    for first_page, second_page in ((text(first), text(second)), (first, second)):
        assert joined(first_page, second_page)[0] == whole


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("It ends.", "on"),
        ("It asks:", "on"),
        ("It goes", "On"),
        ("It goes", "1 on"),
        ("12", "on"),
        ("# Head", "on"),
        ("It goes", "a) on"),
        ("It goes", "iv. on"),
        ("| a | b", "on"),
        (r"\[ x \]", "on"),
        ("It goes", "# on"),
        ("It goes", "ⓐ on"),
    ],
)
def test_when_in_doubt_nothing_is_joined(first, second):
    document = document_of(text(first), text(second))
    assert join_pages(document) == document


def test_what_is_printed_on_every_page_may_stand_between():
    first = text("It goes") + tagged("footnote", "1 A note.") + tagged("footer", "Foot") + tagged("page_number", "3")
    assert joined(first, tagged("header", "Head") + text("on.") + text("Two.")) == [
        "It goes on.\n\n1 A note.\n\nFoot\n\n3",
        "Head\n\nTwo.",
    ]


@pytest.mark.parametrize(
    "between", [tagged("image", ""), tagged("title", "# Two"), text("Two."), tagged("image_caption", "a")]
)
def test_nothing_else_may_stand_between(between):
    for first, second in ((text("It goes") + between, text("on.")), (text("It goes"), between + text("on."))):
        document = document_of(first, second)
        assert join_pages(document) == document


def test_a_paragraph_may_go_on_for_several_pages():
    assert joined(text("one"), text("two"), text("three.") + text("Four")) == ["one two three.", "", "Four"]


def test_a_hyphen_stays_where_the_word_has_one_elsewhere():
    assert joined(text("well-known things. It is well-"), text("known."))[0].endswith("It is well-known.")


def test_a_table_goes_on_and_its_head_is_not_repeated():
    first = tagged("table", f"<table>{HEAD}<tr><td>1</td><td colspan=1><b>2</b></td></tr></table>")
    second = tagged("table", f"<table>{HEAD}<tr><td>3</td><td>4</td></tr></table>")
    assert joined(first, second + text("Words.")) == [
        f"<table>{HEAD}<tr><td>1</td><td><b>2</b></td></tr><tr><td>3</td><td>4</td></tr></table>",
        "Words.",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("<table><td>1<td>2</table>", "<table><td>1<td>2<td>3</table>"),
        ("<table><td>1</table>", "<table><td>2</table>"),
        (f"<table>{HEAD}</table>", "<table><th>c</th><th>d</th></table>"),
        ("<table><td>1<td>2</table>", "<table><caption>Table 2</caption><td>3<td>4</table>"),
        ("<table><td>1<td>2</table>", "<table><td>1<td>2</table>"),
        ("<table><td>1<td>2</table> words", "<table><td>3<td>4</table>"),
        ("words", "<table><td>3<td>4</table>"),
    ],
)
def test_tables_that_may_be_two_stay_two(first, second):
    document = document_of(tagged("table", first), tagged("table", second))
    assert join_pages(document) == document


def test_only_the_next_page_of_a_page_that_ended_well_goes_on():
    for document in (
        document_of(text("It goes"), text("on."), status="truncated"),
        Document("a.pdf", (transcript_of(text("It goes"), 1), transcript_of(text("on."), 3))),
        document_of(text("It goes"), "", text("on.")),
        document_of(text("It goes"), text("on."), labels_are_text=True),
    ):
        assert join_pages(document) == document


def letters(document: Document) -> Counter[str]:
    return Counter(
        letter for page in document.transcripts for block in page.blocks for letter in block.text if letter.isalnum()
    )


@given(pages_of_text)
def test_no_page_no_block_and_no_word_goes(raws):
    document = document_of(*raws)
    after = join_pages(document)
    assert [len(page.blocks) for page in after.transcripts] == [len(page.blocks) for page in document.transcripts]
    assert [page.raw for page in after.transcripts] == raws
    if not any("<t" in raw.lower() for raw in raws):  # heads may go, and spans are written anew
        assert letters(after) == letters(document)
