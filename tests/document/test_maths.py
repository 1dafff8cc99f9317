"""Formulas are found where they are marked, whole or in pieces, and put between dollars when asked."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_pages import cut_text, model_texts

from dsocr.document.maths import Maths, MathsParser, split_maths, to_dollars

PIECES = [r"\(", r"\)", r"\[", r"\]", "\\", "\\\\", "$", "5", "x", " ", "\n", "\n\n", r"\frac{a}{b}", r"\|", "\ud800"]
maths_texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def sources(pieces: list[Maths | str]) -> str:
    return "".join(piece if isinstance(piece, str) else piece.source for piece in pieces)


def dollars(text: str) -> str:
    return "".join(map(to_dollars, split_maths(text)))


def test_formulas_are_found_in_their_text():
    pieces = split_maths(r"so \(x^2\) and \[ y \]")
    assert [piece for piece in pieces if isinstance(piece, Maths)] == [Maths("x^2", False), Maths(" y ", True)]
    assert sources(pieces) == r"so \(x^2\) and \[ y \]"


@pytest.mark.parametrize(
    "text",
    [
        r"\( never closed",
        r"\)\]",
        r"a \\[2pt] b \]",
        "\\( a blank\n\nline \\)",
        r"\(\)",
        r"\[ \)",
        "C/C=C\\[C@@H](O)C",
    ],
)
def test_what_is_not_whole_is_text(text):
    assert dollars(text) == text


def test_a_bracket_after_a_line_break_in_a_formula_ends_nothing():
    assert split_maths(r"\[ a \\[2pt] b \\]c \]")[0].latex == r" a \\[2pt] b \\]c "


@pytest.mark.parametrize(
    ("latex", "with_dollars"),
    [
        (r"so \( x \) is", "so $x$ is"),
        ("\\[\nx\n\\]", "$$\nx\n$$"),
        (r"it costs $5, \$6 or \(7\)", r"it costs \$5, \$6 or $7$"),
        (r"US$ and $x", "US$ and $x"),
        (r"\(\text{\$5}\)", r"$\text{\$5}$"),
        (r"\(\text{$5}\)", r"\(\text{$5}\)"),
        (r"\(a \(b\)", r"\(a $b$"),
    ],
)
def test_dollars_stand_in_place_of_brackets(latex, with_dollars):
    assert dollars(latex) == with_dollars


@given(st.one_of(maths_texts, model_texts))
def test_every_character_of_a_text_is_in_its_pieces(text):
    assert sources(split_maths(text)) == text


@given(st.one_of(maths_texts, model_texts), st.lists(st.integers(0, 200)))
def test_formulas_that_arrive_in_pieces_are_the_same(text, cuts):
    parser = MathsParser()
    pieces = [piece for delta in cut_text(text, cuts) for piece in parser.feed(delta)] + parser.close()
    assert "".join(map(to_dollars, pieces)) == dollars(text)
    assert [piece for piece in pieces if isinstance(piece, Maths)] == [
        piece for piece in split_maths(text) if isinstance(piece, Maths)
    ]


@pytest.mark.parametrize("piece", [r"\(", r"\[x", "\\", "$", r"\(x\)", "$5", "\n\n"])
def test_endless_repetition_streams_quickly(piece):
    parser, start = MathsParser(), time.perf_counter()
    for _ in range(50_000):
        parser.feed(piece)
    parser.close()
    assert time.perf_counter() - start < 15
