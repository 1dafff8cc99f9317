"""Every word has its place: inside its block, in reading order, as wide as its letters."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from written_pages import any_transcript, transcript_of

from dsocr.document import Block, Box, Transcript
from dsocr.document.plain_text import plain_lines
from dsocr.document.words import Frame, TextBlock, lay_out

PARAGRAPH = "It was a bright cold day in April, and the clocks were striking thirteen. " * 4


def laid_out(text: str, box: tuple[int, ...] | None, size: tuple[int, int] = (999, 999), **fields) -> TextBlock:
    boxes = (Box(*box),) if box else ()
    (block,) = lay_out(Transcript(1, *size, "", (Block("text", boxes, text),), **fields))
    return block


def words_of(block: TextBlock) -> list[str]:
    return [word.text for line in block.lines for word in line.words]


def is_within(inner: Frame, outer: Frame) -> bool:
    near = 1e-6 * max(1, outer.right, outer.bottom)
    return (
        outer.left - near <= inner.left <= inner.right <= outer.right + near
        and outer.top - near <= inner.top <= inner.bottom <= outer.bottom + near
    )


def test_a_line_fills_its_box_and_its_words_are_as_wide_as_their_letters():
    block = laid_out("ab cdef", (100, 200, 240, 240))
    (line,) = block.lines
    assert line.frame == block.frame == Frame(100, 200, 240, 240)
    assert [(word.text, word.frame.left, word.frame.right) for word in line.words] == [
        ("ab", 100, 140),
        ("cdef", 160, 240),
    ]


def test_each_line_of_the_text_is_a_line_of_the_box():
    block = laid_out("# one\ntwo\n\nthree", (0, 0, 50, 60))
    assert [line.text for line in block.lines] == ["one", "two", "three"]
    assert [line.frame.top for line in block.lines] == [0, 20, 40]


def test_a_paragraph_in_one_long_line_is_wrapped_as_its_box_demands():
    rows = [len(laid_out(PARAGRAPH, (0, 0, 400, height)).lines) for height in (12, 100, 400)]
    assert rows[0] < rows[1] < rows[2]
    assert words_of(laid_out(PARAGRAPH, (0, 0, 400, 100))) == PARAGRAPH.split()


def test_the_lines_of_a_wrapped_paragraph_are_nearly_as_long_as_the_box_is_wide():
    widths = [line.frame.width for line in laid_out(PARAGRAPH, (0, 0, 400, 100)).lines]
    assert max(widths) == pytest.approx(400)
    assert min(widths[:-1]) > 300


def test_chinese_is_wrapped_between_any_two_letters():
    text = "深度学习模型可以识别文档中的文字并且将其转换为标记语言" * 3
    lines = laid_out(text, (0, 0, 300, 100)).lines
    assert len(lines) > 3
    assert "".join(line.text for line in lines) == text
    assert all(len(line.words) == 1 for line in lines)


def test_a_wide_letter_takes_two_narrow_ones():
    (line,) = laid_out("字 ab", (0, 0, 50, 20)).lines
    assert [word.frame.width for word in line.words] == [20, 20]


def test_a_tables_cells_are_words_in_reading_order():
    table = "<table><tr><td>Name</td><td>Menge</td></tr><tr><td>Äpfel</td><td>12,5</td></tr></table>"
    block = laid_out(table, (0, 0, 400, 80))
    assert [line.text for line in block.lines] == ["Name Menge", "Äpfel 12,5"]


def test_a_text_far_too_short_for_its_box_stands_in_its_middle():
    (line,) = laid_out("x", (0, 0, 600, 20)).lines
    assert line.frame.left == pytest.approx(600 - line.frame.right)
    above, below = laid_out("many\nwords", (0, 0, 100, 900)).lines
    assert above.frame.height < 900 / 2 / 2
    assert above.frame.top == pytest.approx(900 - below.frame.bottom)


def test_arabic_runs_from_the_right_and_words_of_other_scripts_in_it_from_the_left():
    (line,) = laid_out("مرحبا 12 open labs عالم", (0, 0, 400, 30)).lines
    from_left = sorted(line.words, key=lambda word: word.frame.left)
    assert line.right_to_left
    assert [word.text for word in line.words] == ["مرحبا", "12", "open", "labs", "عالم"]
    assert [word.text for word in from_left] == ["عالم", "12", "open", "labs", "مرحبا"]


def test_hebrew_in_an_english_line_runs_from_the_right():
    (line,) = laid_out("say שלום עולם now", (0, 0, 400, 30)).lines
    from_left = [word.text for word in sorted(line.words, key=lambda word: word.frame.left)]
    assert not line.right_to_left
    assert from_left == ["say", "עולם", "שלום", "now"]


def test_without_boxes_the_text_is_spread_over_the_page_line_by_line():
    block = laid_out("first line\nsecond line\n", None, size=(400, 300))
    assert block.frame == Frame(0, 0, 400, 300)
    assert [line.text for line in block.lines] == ["first line", "second line"]
    assert block.lines[0].frame.bottom <= 150 <= block.lines[1].frame.top


def test_without_boxes_a_line_is_not_broken_unless_it_is_longer_than_a_page_is_wide():
    assert len(laid_out("a heading of six short words", None, size=(600, 900)).lines) == 1
    assert len(laid_out(PARAGRAPH, None, size=(600, 900)).lines) > 2


def test_text_without_a_box_goes_with_the_block_before_it_or_the_first():
    blocks = (
        Block("", (), "before"),
        Block("title", (Box(0, 0, 500, 50),), "title"),
        Block("text", (Box(9, 9, 9, 9),), "no area"),
        Block("text", (Box(0, 100, 500, 200),), "text"),
    )
    first, second = lay_out(Transcript(1, 999, 999, "", blocks))
    assert (first.label, words_of(first)) == ("title", ["before", "title", "no", "area"])
    assert (second.label, words_of(second)) == ("text", ["text"])


def test_a_block_with_several_boxes_fills_the_rectangle_round_them():
    block = Block("text", (Box(10, 20, 30, 40), Box(50, 60, 70, 80), Box(5, 5, 5, 5)), "x")
    (laid,) = lay_out(Transcript(1, 999, 999, "", (block,)))
    assert laid.frame == Frame(10, 20, 70, 80)


def test_where_labels_are_text_they_stand_in_their_boxes():
    raw = "<|ref|>Invoice 7<|/ref|><|det|>[[1, 2, 300, 40]]<|/det|>\n<|ref|>image<|/ref|><|det|>[[1, 50, 300, 90]]<|/det|>"
    blocks = lay_out(transcript_of(raw, labels_are_text=True))
    assert [words_of(block) for block in blocks] == [["Invoice", "7"], ["image"]]
    assert [block.label for block in blocks] == ["", ""]


def test_a_figure_has_a_frame_and_no_lines():
    (block,) = lay_out(transcript_of("<|ref|>image<|/ref|><|det|>[[100, 100, 300, 400]]<|/det|>\n"))
    assert (block.label, block.lines) == ("image", ())


@pytest.mark.parametrize("text", ["", " \n ", "---"])
def test_a_page_without_words_has_no_blocks(text):
    assert lay_out(Transcript(1, 100, 100, "", (Block("", (), text),))) == ()


@given(any_transcript)
def test_nothing_is_lost_and_all_lies_inside(transcript):
    blocks = lay_out(transcript)
    texts = [
        f"{block.label}\n{block.text}" if transcript.labels_are_text else block.text for block in transcript.blocks
    ]
    given = [line for text in texts for line in plain_lines(text)]
    shown = [line.text for block in blocks for line in block.lines]
    assert "".join(given).replace(" ", "") == "".join(shown).replace(" ", "")
    for block in blocks:
        assert is_within(block.frame, Frame(0, 0, max(1, transcript.width), max(1, transcript.height)))
        for line in block.lines:
            assert is_within(line.frame, block.frame)
            assert line.words
            assert line.frame.width > 0 < line.frame.height
            assert all(word.text and is_within(word.frame, line.frame) for word in line.words)
            for left, right in pairwise(sorted(line.words, key=lambda word: word.frame.left)):
                assert left.frame.right <= right.frame.left
        for above, below in pairwise(block.lines):
            assert above.frame.bottom <= below.frame.top + 1e-6 * max(1, transcript.height)


def test_a_frames_pixels_are_all_that_it_touches():
    assert Frame(0.5, 1.25, 2.0, 3.125).to_pixels() == (0, 1, 2, 4)
    assert Frame(2.9999999999, 1, 4, 25.0000000001).to_pixels() == (3, 1, 4, 25)


def test_a_page_of_thirty_thousand_words_is_laid_out_in_no_time():
    began = time.process_time()
    assert len(words_of(laid_out("word " * 30_000, (0, 0, 999, 999)))) == 30_000
    assert time.process_time() - began < 4
