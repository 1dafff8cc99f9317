"""olmOCR-bench's tests: what passes, what fails, and what cannot be judged here."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.evaluation import olmocr
from dsocr.evaluation.olmocr import PageTest, Scores
from dsocr.evaluation.olmocr.rules import Baseline, Cell, Maths, Order, Rule, Text, Unknown, plain
from dsocr.evaluation.report.table import Estimate

TABLE = (
    "<table><thead><tr><th></th><th>2023</th><th>2024</th></tr></thead>"
    '<tr><th rowspan="2">Rice</th><td>10</td><td>11</td></tr><tr><td>20</td><td>21</td></tr></table>'
)
BARS = "| | 2023 | 2024 |\n|---|---|---|\n| Rice | 10 | 11 |\n| Oats | 20 | 21 |"

ABOUT = '"id": "1", "pdf": "a.pdf"'
TEST = f'{ABOUT}, "page": 1'


def about(rule: Rule, pdf: str = "a.pdf", category: str = "tables") -> PageTest:
    return PageTest("a_1", category, pdf, 1, rule)


def passes(rule: Rule, text: str) -> bool | None:
    return olmocr.run(about(rule), text).passed


def test_text_is_there_whatever_its_emphasis_quotes_and_line_ends():
    assert passes(Text('the "best" of - all', present=True), "It is **the** “best”\nof – _all_ things")
    assert passes(Text("the best", present=True), "the worst") is False


def test_as_many_letters_may_differ_as_the_test_allows():
    # "harbour" and "harbur": 7 characters are looked for; one edit leaves more than 1 - 1/7 alike.
    assert passes(Text("harbour", present=True), "the harbur was full") is False
    assert passes(Text("harbour", present=True, differences=1), "the harbur was full")


def test_what_must_be_absent_may_stand_elsewhere():
    head = Text("Page 7", present=False, first=20)
    assert passes(head, "Page 7 of the report, and much text") is False
    assert passes(head, "Some text that is long enough, then Page 7")
    assert passes(Text("Page 7", present=False, last=20), "Page 7, and text that is long enough")


def test_case_counts_unless_the_test_says_otherwise():
    assert passes(Text("HARBOUR", present=True), "the harbour") is False
    assert passes(Text("HARBOUR", present=True, case_sensitive=False), "the harbour")


def test_a_page_of_one_space_holds_no_phrase():
    assert passes(Text("two words", present=True), "\n") is False
    assert passes(Text("two words", present=False), "\n")


def test_order_is_of_some_place_of_the_first_before_some_of_the_second():
    assert passes(Order("first", "second"), "the first and the second")
    assert passes(Order("first", "second"), "the second and the first") is False
    assert passes(Order("first", "second"), "second, first, second")
    assert passes(Order("first", "third"), "the first and the second") is False


@pytest.mark.parametrize("table", [TABLE, BARS])
def test_cells_have_neighbours_and_headings(table):
    assert passes(Cell("11", left="10", up="2024"), table)
    assert passes(Cell("11", left="20"), table) is False
    assert passes(Cell("21", top_heading="2024"), table)
    assert passes(Cell("11", left_heading="Rice", down="21"), table)
    assert passes(Cell("12"), table) is False
    assert passes(Cell("11"), "no table") is False


def test_a_cell_over_two_rows_is_beside_both():
    assert passes(Cell("20", left="Rice"), TABLE)
    assert passes(Cell("Rice", right="20"), TABLE)
    assert passes(Cell("20", left="Rice"), BARS) is False
    assert passes(Cell("11", left="10", html_only=True), BARS) is False


def test_a_page_needs_letters_no_loop_and_no_strange_letters():
    assert passes(Baseline(), "Some text.")
    assert passes(Baseline(), " --- ") is False
    assert passes(Baseline(), "Text" + "ab" * 30)
    assert passes(Baseline(), "Text" + "ab" * 31) is False
    assert passes(Baseline(), "Text 中") is False
    assert passes(Baseline(checks_letters=False), "Text 中")


def test_a_blank_page_must_stay_so():
    assert passes(Baseline(max_length=3), "a-b-c")
    assert passes(Baseline(max_length=3), "a-b-c-d") is False
    assert passes(Baseline(max_length=0, skips_pictures=True), "![a picture](a.png)")


def test_formulas_pass_to_the_letter_and_else_are_not_judged():
    assert passes(Maths("x^2"), r"so \( x^2 \) holds")
    assert passes(Maths("x^2"), "so $$x^2$$ holds")
    assert passes(Maths("x^2"), "so $x^{2}$ holds") is None
    assert passes(Maths("x^2", no_dollars=True), "so $x^2$ holds") is None


def test_a_rule_of_another_kind_is_not_judged():
    assert passes(Unknown("footnote"), "text") is None


def test_more_than_half_of_the_readings_must_pass():
    test = about(Text("word", present=True))
    assert olmocr.score(test, ["word", "word", "no"]).passed
    assert olmocr.score(test, ["word", "no"]).passed is False
    assert olmocr.score(test, []) == Scores(test, False, "the page was not read")
    assert olmocr.score(about(Maths("x")), ["$x$", "y"]).passed is None


def test_every_category_counts_alike():
    yes, no = Text("a", present=True), Text("b", present=True)
    tests = [*[about(yes)] * 3, about(no), about(yes, category="old_scans")]
    table = olmocr.table([olmocr.score(test, ["a"]) for test in tests])
    assert [row[:4] for row in table.rows] == [
        ("old_scans", 1, 1, 0),
        ("tables", 4, 3, 0),
        ("mean of categories", 5, 4, 0),
    ]
    score = table.rows[2][4]
    assert isinstance(score, Estimate)
    assert score.value == 87.5  # (100 + 75) / 2


def test_what_is_not_judged_leaves_its_category_and_the_whole_without_a_score():
    tests = [about(Text("a", present=True)), about(Maths("x"), category="arxiv_math")]
    table = olmocr.table([olmocr.score(test, ["a"]) for test in tests])
    assert [row[0] for row in table.rows if row[4] is None] == ["arxiv_math", "mean of categories"]
    assert table.rows[3][0] == "mean of those judged in full"
    assert "not done here" in table.note


def test_tests_are_read_from_the_benchmarks_own_files(tmp_path):
    (tmp_path / "pdfs" / "tables").mkdir(parents=True)
    (tmp_path / "pdfs" / "tables" / "a.pdf").write_bytes(b"")
    lines = [
        {
            "id": "1",
            "pdf": "tables/a.pdf",
            "page": 1,
            "type": "table",
            "cell": "x",
            "up": "y",
            "max_diffs": 2,
            "url": "",
        },
        {"id": "2", "pdf": "tables/a.pdf", "page": 1, "type": "absent", "text": "z", "first_n": 30, "checked": None},
        {"id": "3", "pdf": "tables/a.pdf", "page": 1, "type": "order", "before": "x", "after": "y"},
        {"id": "4", "pdf": "tables/a.pdf", "page": 1, "type": "math", "math": "x^2"},
        {"id": "5", "pdf": "tables/a.pdf", "page": 1, "type": "footnote", "marker": "1"},
    ]
    (tmp_path / "table_tests.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    tests = olmocr.read_tests(tmp_path)
    assert [test.rule for test in tests] == [
        Cell("x", up="y", differences=2),
        Text("z", present=False, first=30),
        Order("x", "y"),
        Maths("x^2"),
        Unknown("footnote"),
        Baseline(),
    ]
    assert {test.category for test in tests[:5]} == {"table_tests"}
    assert (tests[5].identifier, tests[5].category, tests[5].page) == ("tables/a.pdf_baseline", "baseline", 1)


def test_readings_are_found_under_the_benchmarks_names(tmp_path):
    (tmp_path / "tables").mkdir()
    for name in ("a_pg1_repeat1.md", "a_pg1_repeat2.md", "a_pg11_repeat1.md", "a_pg2_repeat1.md", "ab_pg1_repeat1.md"):
        (tmp_path / "tables" / name).write_text(name)
    found = olmocr.read_predictions(about(Baseline(), "tables/a.pdf"), tmp_path)
    assert found == ("a_pg1_repeat1.md", "a_pg1_repeat2.md")
    assert olmocr.read_predictions(about(Baseline(), "none/a.pdf"), tmp_path) == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is no JSON"),
        ("[]", "line 1 is no JSON object"),
        ('{"type": "present", "page": 1, "id": "1", "pdf": "a.pdf"}', 'line 1: "text" is not a text'),
        ('{"type": "math", "page": 0, "id": "1", "pdf": "a.pdf", "math": "x"}', 'line 1: "page" is no page number'),
        (f'{{{ABOUT}, "page": NaN, "type": "present", "text": "x"}}', 'line 1: "page" is nan, which is no count'),
        (f'{{{TEST}, "type": "order", "before": "", "after": "x"}}', 'line 1: "before" has no words to look for'),
        (f'{{{TEST}, "type": "order", "before": "x", "after": "<b></b>"}}', 'line 1: "after" has no words to look for'),
        (f'{{{TEST}, "type": "absent", "text": " "}}', 'line 1: "text" has no words to look for'),
        (
            f'{{{TEST}, "type": "table", "cell": "x", "max_diffs": 1e999}}',
            'line 1: "max_diffs" is inf, which is no count',
        ),
        (f'{{{TEST}, "type": "present", "text": "x", "first_n": -1}}', 'line 1: "first_n" is -1, which is no count'),
        ("[" * 100_000, "line 1 is no JSON"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, line, message):
    (tmp_path / "tests.jsonl").write_text(line)
    with pytest.raises(InputError) as caught:
        olmocr.read_tests(tmp_path)
    assert f"{tmp_path / 'tests.jsonl'}: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_the_benchmark_is_named(tmp_path):
    with pytest.raises(InputError, match="give the folder of olmOCR-bench's data"):
        olmocr.read_tests(tmp_path)


@given(st.text(st.sampled_from("ab *_|<>/td\n-"), min_size=1, max_size=40))
def test_whatever_a_model_writes_is_judged(text):
    for rule in (Text("ab", present=True), Order("a", "b"), Cell("a", up="b", left_heading="a"), Baseline()):
        assert passes(rule, text) in (True, False)


@given(st.text(st.sampled_from("abc de"), min_size=1, max_size=30).filter(str.strip))
def test_a_text_is_present_in_itself(text):
    assert passes(Text(text, present=True), text)
    assert passes(Text(text, present=False), text) is False
    assert plain(plain(text)) == plain(text)
