"""A page's Markdown taken apart into blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsocr.evaluation.omnidocbench.written_blocks import (
    DISPLAYED,
    HTML_TABLE,
    INLINE,
    LATEX_TABLE,
    TEXT,
    WrittenBlock,
    written_blocks,
)

WORDS = st.text(st.sampled_from("ab $|\\[]<>/table-\n"), max_size=60)


def blocks(markdown: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in written_blocks(markdown)]


def test_paragraphs_end_at_empty_lines():
    assert blocks("# Title\n\nOne\n two\n\n\nThree") == [(TEXT, "# Title"), (TEXT, "One\ntwo"), (TEXT, "Three")]


def test_without_empty_lines_each_line_is_a_paragraph():
    assert blocks("# Title\nOne\nTwo") == [(TEXT, "# Title"), (TEXT, "One"), (TEXT, "Two")]


def test_formulas_on_their_own_leave_the_text():
    assert blocks("A\n\n$$x\n= y$$\n\n\\[z\\]") == [(TEXT, "A"), (DISPLAYED, "\\[x = y\\]"), (DISPLAYED, "\\[z\\]")]


def test_formulas_in_a_line_stay_in_their_paragraph_too():
    assert blocks(r"A \(x\) and $y$.") == [
        (TEXT, r"A \(x\) and $y$."),
        (INLINE, r"\[x\]"),
        (INLINE, r"\[y\]"),
    ]


def test_html_tables_are_whole_also_with_a_table_in_a_cell():
    inner = "<table><tr><td><table><tr><td>1</td></tr></table></td></tr></table>"
    assert blocks(f"A\n\n{inner}\n\nB") == [(TEXT, "A"), (HTML_TABLE, inner), (TEXT, "B")]


def test_a_table_that_is_not_closed_is_text():
    assert blocks("<table><tr><td>1</td></tr>") == [(TEXT, "<table><tr><td>1</td></tr>")]


def test_tables_of_bars_become_html():
    html = "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>"
    assert blocks("Before\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nAfter") == [
        (TEXT, "Before"),
        (HTML_TABLE, html),
        (TEXT, "After"),
    ]


def test_bars_without_a_rule_are_text():
    assert blocks("a | b\n\n| c | d |") == [(TEXT, "a | b"), (TEXT, "| c | d |")]


def test_latex_tables_are_their_own_kind():
    latex = r"\begin{tabular}{l} a \\ b \end{tabular}"
    assert blocks(f"A\n\n{latex}") == [(TEXT, "A"), (LATEX_TABLE, latex)]


def test_pictures_and_fences_are_no_text():
    assert blocks("```markdown\nA\n```\n\n![](images/0.jpg)") == [(TEXT, "A")]


def test_places_are_where_blocks_begin():
    assert written_blocks("A\n\n$$x$$\n\nB") == (
        WrittenBlock(TEXT, 0, "A"),
        WrittenBlock(DISPLAYED, 3, "\\[x\\]"),
        WrittenBlock(TEXT, 10, "B"),
    )


@given(WORDS)
def test_whatever_a_model_writes_comes_in_order(text):
    places = [block.place for block in written_blocks(text)]
    assert places == sorted(places)
