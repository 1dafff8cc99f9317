"""Words as they stand on the page: marks go, words stay."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_pages import model_texts

from dsocr.document.plain_text import plain_lines, printable


@pytest.mark.parametrize(
    ("markdown", "lines"),
    [
        ("# A title\n\n## Part 2", ["A title", "Part 2"]),
        ("#hashtag and C#", ["#hashtag and C#"]),
        ("**Bold** and *slanted*, ***both***", ["Bold and slanted, both"]),
        ("**标题**内容", ["标题内容"]),
        ("2 * 3 * 4 = 24, 2*3*4", ["2 * 3 * 4 = 24, 2*3*4"]),
        ("snake_case and _slanted_ and __bold__", ["snake_case and slanted and bold"]),
        ("Name: ______", ["Name: ______"]),
        ("- one\n* two\n+ three\n1. four\n-5 degrees", ["one", "two", "three", "1. four", "-5 degrees"]),
        ("> quoted\n> - listed", ["quoted", "listed"]),
        (r"so \(a_1 + b\) holds", ["so a_1 + b holds"]),
        (r"\[ \frac{a}{b} \\[2pt] c \]", [r"\frac{a}{b} \\[2pt] c"]),
        ("$x^2$ costs $5 or $6", ["x^2 costs $5 or $6"]),
        ("$$\nE = mc^2\n$$", ["E = mc^2"]),
        ("`code` ~~gone~~", ["code gone"]),
        ("```python\nx = 1\n```", ["x = 1"]),
        (r"5 \* 6 \_ \| \#", ["5 * 6 _ | #"]),
        ("[a link](http://x.org/a_b) ![figure](images/1_0.jpg)", ["a link figure"]),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", ["a b", "1 2"]),
        ("---\n***\n- - -\n===", []),
        (
            "<table><caption>T</caption><tr><th>a</th><td colspan=2>b<br>c</td></tr><tr><td>1</td><td>2</td></tr>",
            ["T", "a b", "c", "1 2"],
        ),
        ("<center>Figure 1</center> H<sub>2</sub>O <b>x</b>", ["Figure 1 H2O x"]),
        ("<p align=\"center\">mid</p><span style='x'>dle</span>", ["middle"]),
        ("a <b and c> d, x < y, <script>", ["a <b and c> d, x < y, <script>"]),
        ("R&amp;D &lt;b&gt; &nbsp; &#65;", ["R&D <b> A"]),
        ("  much \t space  \r\n\n\n end ", ["much space", "end"]),
        ("a\x00b\x1b\ud800c\ufffe\x85d", ["abc", "d"]),
        ("", []),
    ],
)
def test_marks_go_and_words_stay(markdown, lines):
    assert list(plain_lines(markdown)) == lines


@settings(deadline=None)
@given(model_texts)
def test_no_line_is_empty_or_holds_what_nobody_can_see(text):
    for line in plain_lines(text):
        assert line == line.strip() == printable(line) != ""
        line.encode()


@settings(deadline=None)
@given(st.lists(st.sampled_from(["word", "Größe", "漢字", "3,5", "x2"]), min_size=1))
def test_words_without_marks_are_all_kept_in_order(words):
    assert list(plain_lines(" ".join(words))) == [" ".join(words)]


@pytest.mark.parametrize(
    "piece",
    ["*", "**", "**a ", "<", "<td ", "< ", "[", "[a](", "![", "$", "$a", "`", "|-", "- ", "_a ", "\\", "# ", " "],
)
def test_the_time_does_not_explode_with_the_length(piece):
    began = time.process_time()
    plain_lines(piece * (80_000 // len(piece)) + "x")
    assert time.process_time() - began < 1
