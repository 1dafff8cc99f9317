"""Tags become blocks, nothing is lost, nothing is evaluated, and no text is slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_pages import cut_text, model_texts, read_golden

from dsocr.document import Block, Box, StreamParser, Tag, parse, write
from dsocr.document.grounding import END_OF_TEXT, MARKS, read_boxes

MANY = 200_000
WORDS = st.text(max_size=20).filter(lambda text: not set(text) & set("<>|"))
BOXES = st.builds(Box, *[st.integers(-50, 1500)] * 4)
BLOCKS = st.builds(Block, WORDS, st.lists(BOXES, max_size=3).map(tuple), WORDS).filter(lambda b: b.label or b.boxes)


def ends_dropped(text: str) -> str:
    while text.endswith(END_OF_TEXT):
        text = text.removesuffix(END_OF_TEXT)
    return text


def streamed(text: str, cuts: list[int]) -> list[Tag | str]:
    parser = StreamParser()
    pieces = [piece for delta in cut_text(text, cuts) for piece in parser.feed(delta)]
    last, rest = parser.close()
    return joined([*pieces, *last, rest])


def joined(pieces: list[Tag | str]) -> list[Tag | str]:
    result: list[Tag | str] = []
    for piece in pieces:
        if result and isinstance(piece, str) and isinstance(result[-1], str):
            result[-1] += piece
        elif piece:
            result.append(piece)
    return result


def test_a_page_becomes_its_blocks():
    title, text, image, caption = parse(read_golden("refs", "in.txt"))
    assert title == Block("title", (Box(100, 50, 900, 120),), "\n# Heading\n")
    assert (text.label, image.label, caption.label) == ("text", "image", "image_caption")
    assert caption.text == "\nFig 1.\n"


def test_text_before_any_tag_is_a_block_without_a_label():
    first, second = parse("Hello <|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>world")
    assert first == Block("", (), "Hello ")
    assert second.text == "world"


def test_an_empty_answer_has_no_blocks():
    assert parse("") == parse(END_OF_TEXT) == ()


def test_only_a_trailing_end_of_text_is_dropped():
    assert parse(f"a{END_OF_TEXT}b{END_OF_TEXT}") == (Block("", (), f"a{END_OF_TEXT}b"),)


@given(model_texts)
def test_every_text_is_written_back_byte_for_byte(text):
    assert write(parse(text)) == ends_dropped(text)


@given(model_texts)
def test_the_blocks_hold_every_character_that_is_not_a_tag(text):
    outside = [piece for piece in streamed(text, []) if isinstance(piece, str)]
    assert "".join(block.text for block in parse(text)) == "".join(outside)


@given(st.lists(BLOCKS))
def test_blocks_survive_being_written_and_read(blocks):
    assert parse(write(blocks)) == tuple(blocks)


@settings(max_examples=60)
@given(model_texts, st.lists(st.integers(0, 200)))
def test_every_split_of_every_text_gives_the_same_pieces(text, cuts):
    assert streamed(text, cuts) == streamed(text, []) == streamed(text, list(range(len(text))))


@pytest.mark.parametrize("case", ["refs", "multi_box", "malformed_det", "eval_expr", "unterminated", "out_of_range"])
def test_published_texts_are_written_back_byte_for_byte(case):
    text = read_golden(case, "in.txt")
    assert write(parse(text)) == ends_dropped(text)


def test_what_may_become_a_tag_is_held_back():
    parser = StreamParser()
    assert parser.feed("see <|re") == ["see "]
    assert parser.feed("f|>text<|/ref|><|det|>[[1, 2, 3") == []
    assert parser.feed(", 4]]<|/det|>x") == [Tag("text", "[[1, 2, 3, 4]]"), "x"]


def test_a_broken_tag_is_text_and_the_next_one_is_whole():
    (broken, whole) = parse("<|ref|>a<|ref|>b<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>")
    assert broken == Block("", (), "<|ref|>a")
    assert whole == Block("b", (Box(1, 2, 3, 4),), "")


@pytest.mark.parametrize("label", ["", "a|b", "a<b", "two\nlines", "漢字", "\ud800", "<td>"])
def test_any_label_without_a_mark_is_read(label):
    assert parse(f"<|ref|>{label}<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>") == (Block(label, (Box(1, 2, 3, 4),), ""),)


def test_a_label_stays_where_its_boxes_are_malformed():
    det = "[[__import__('os').system('x')]]"
    assert parse(f"<|ref|>image<|/ref|><|det|>{det}<|/det|>x") == (Block("image", (), "x", det),)


def test_replaced_boxes_are_written_in_place_of_the_models_own():
    assert write([Block("text", (Box(1, 2, 3, 4),), "", det="[[9,9,9,9]]")]).endswith("<|det|>[[1, 2, 3, 4]]<|/det|>")


@pytest.mark.parametrize(
    "det",
    [
        "",
        "not a list",
        "[]",
        "[[]]",
        "[1, 2, 3, 4]",
        "[[1, 2, 3]]",
        "[[1, 2, 3, 4, 5]]",
        "[[nan, 1, 2, 3]]",
        "[[inf, 1, 2, 3]]",
        "[[1e3, 1, 2, 3]]",
        "[[2*3, 1, 2, 3]]",
        "[[int('1'), 2, 3, 4]]",
        "[[0x1, 2, 3, 4]]",
        "[[sum([1, 2, 3, 4]), 1, 2, 3]]",
        "[[[1, 2, 3, 4]]]",
        "[[1, 2, 3, 4]",
        "x[[1, 2, 3, 4]]",
        "[[1 2 3 4]]",
        "[[٣, 1, 2, 3]]",
        "[[1_0, 1, 2, 3]]",
        "[[" + "9" * 5000 + ", 1, 2, 3]]",
        "[[1, 2, 3, 4]] + [[1, 2, 3, 4]]",
    ],
)
def test_what_is_no_plain_list_of_boxes_gives_none(det):
    assert read_boxes(det) == ()


def test_whole_numbers_fractions_signs_and_spaces_are_read():
    assert read_boxes(" [[-1,2.5 , 3,\n1200],[5, 6, 7, 8]] ") == (Box(-1, 2.5, 3, 1200), Box(5, 6, 7, 8))


def test_one_bad_bracket_does_not_cost_the_others():
    assert read_boxes("[[1, 2, 3], [5, 6, 7, 8], [a, b, c, d]]") == (Box(5, 6, 7, 8),)


@pytest.mark.parametrize(
    "text",
    [mark * MANY for mark in MARKS]
    + ["<|ref|>a<|/ref|><|det|>[[" * 50_000, "<|ref|>" + "<" * MANY, "<|ref|>a<|/ref|><|det|>" + "[" * MANY]
    + [END_OF_TEXT * 60_000 + "x", "a" * MANY, "<|" * MANY, "<table>" * 60_000]
    + ["<|ref|>a<|/ref|><|det|>[[" + "1" * MANY + "]]<|/det|>", "<|ref|>a<|/ref|><|det|>[" + " " * MANY]
    + ["<|ref|>a<|/ref|><|det|>[[1" + " " * MANY + "]]<|/det|>"],
    ids=lambda text: text[:12] + "..." + str(len(text)),
)
def test_hostile_texts_are_quick_and_keep_every_character(text):
    start = time.process_time()
    assert write(parse(text)) == text
    assert time.process_time() - start < 3


def test_fifty_thousand_boxes_are_quick():
    start = time.process_time()
    (block,) = parse("<|ref|>image<|/ref|><|det|>[" + ", ".join(["[1, 2, 3, 4]"] * 50_000) + "]<|/det|>")
    assert len(block.boxes) == 50_000
    assert time.process_time() - start < 4


def test_an_unclosed_tag_streamed_by_the_character_is_quick():
    parser, start = StreamParser(), time.process_time()
    for letter in "<|ref|>" + "<" * 60_000:
        assert parser.feed(letter) == []
    assert parser.close()[1] == "<|ref|>" + "<" * 60_000
    assert time.process_time() - start < 3
