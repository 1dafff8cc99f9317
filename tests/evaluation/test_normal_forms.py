"""The forms in which OmniDocBench compares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.evaluation.omnidocbench.normal_forms import formula, plain_text, shown_text, table, tidy_formula

BARE = '<html><body><table border="1" >{}</table></body></html>'
MARKUP = st.text(st.sampled_from("<>/table trd\\$^_{}[]ax1&; \n\"'="), max_size=40)


def test_text_is_its_letters_and_digits_in_a_row():
    assert plain_text("# A **bold**, 2nd try\n(see: §3)!") == "Abold2ndtrysee3"
    assert plain_text("第一章,概述。") == "第一章概述"


def test_formulas_in_a_line_are_the_signs_that_they_show():
    assert plain_text(r"an angle $\alpha^2$ and \(\beta_1\)") == "anangle\u03b12and\u03b2_1"
    assert plain_text("costs $5 or $6") == "costs5or6"


def test_the_published_form_eats_a_stroke_and_the_letter_after_it():
    assert plain_text("and/not and/or") == "andotandor"


def test_formulas_lose_styles_spaces_and_numbers():
    assert formula(r"\[ \mathbf{X} = \frac{1}{2} \tag{7} \]") == r"{x}=\frac{1}{2}"
    assert formula(r"\begin{aligned} a &= b \end{aligned}") == "a&=b"
    assert formula(r"\left( \displaystyle x \right)") == "(x)"
    assert formula(r"\left( x \right)", "1.0") == r"\left(x\right)"


def test_in_version_1_0_the_truth_keeps_its_dollar_signs():
    assert formula("$$x^2$$", "1.0") == "$$x^2$$"
    assert formula("$$x^2$$", "1.5") == "x^2"
    assert tidy_formula("$$x\n^2$$") == "x^2"


def test_tables_are_rows_cells_spans_and_contents():
    markup = (
        '<table class="wide"><colgroup><col></colgroup><thead><tr><th colspan=2 style="x">A &amp; B</th></tr></thead>'
        "<tbody>\n<tr><td>1<sup>2</sup></td><td><p>x</p>  y</td></tr></tbody></table>"
    )
    assert table(markup) == BARE.format('<tr><td colspan="2">A & B</td></tr><tr><td>12</td><td>x y</td></tr>')


def test_a_formula_in_a_table_is_its_latex():
    assert table('<table><tr><td><math alttext="x^2"><mi>x</mi></math></td></tr></table>') == BARE.format(
        "<tr><td>$x^2$</td></tr>"
    )


def test_what_is_no_table_is_nothing():
    assert table("a < b") == ""


@pytest.mark.parametrize("version", ["1.0", "1.5"])
@given(text=MARKUP)
def test_whatever_a_model_writes_has_a_form(version, text):
    assert isinstance(plain_text(text), str)
    assert isinstance(formula(text, version), str)
    assert isinstance(table(text), str)
    assert isinstance(shown_text(text), str)
