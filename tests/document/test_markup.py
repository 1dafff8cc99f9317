"""The model's Markdown becomes HTML, and whatever is not in the short list of marks stays text."""

from __future__ import annotations

import html
import re
import time

import pytest

from dsocr.document.markup import block_html


def flat(text: str) -> str:
    return " ".join(block_html(text).split())


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Head", "<h1>Head</h1>"),
        ("**a** and *b*", "<p><strong>a</strong> and <em>b</em></p>"),
        ("one\ntwo", "<p>one<br /> two</p>"),
        ("- a\n- b", "<ul> <li>a</li> <li>b</li> </ul>"),
        ("3. a", '<ol start="3"> <li>a</li> </ol>'),
        ("x<sup>2</sup>, H<sub>2</sub>O<br>next", "<p>x<sup>2</sup>, H<sub>2</sub>O<br /> next</p>"),
        ("<center>Figure 1. <b>A</b></center>", '<p><span class="centre">Figure 1. <b>A</b></span></p>'),
        ("AT&amp;T < a & b", "<p>AT&amp;T &lt; a &amp; b</p>"),
        (r"so \(a_1 < b_1\) is", '<p>so <span class="math inline">a_1 &lt; b_1</span> is</p>'),
        ("\\[\n- a\n= b\n\\]", '<div class="math display">- a = b</div>'),
        ("C/C=C\\[C@@H](O)C", "<p>C/C=C\\[C@@H](O)C</p>"),
        ("Total\n-----", "<p>Total</p> <hr />"),
        ("    far right", "<p>far right</p>"),
    ],
)
def test_what_the_model_writes_is_shown(text, html):
    assert flat(text) == html


@pytest.mark.parametrize(
    "text",
    [
        "[a](http://example.org)",
        "![a](http://example.org/a.png)",
        "&lt;http://example.org&gt;",
        "[a]: http://example.org",
        "&lt;b&gt;never closed",
        "&lt;b onclick=x&gt;a&lt;/b&gt;",
        "&lt;div&gt;a&lt;/div&gt;",
        "&lt;!-- a --&gt;",
    ],
)
def test_all_other_marks_are_text(text):
    assert flat(text.replace("&lt;", "<").replace("&gt;", ">")) == f"<p>{text}</p>"


def test_a_table_keeps_its_spans_and_its_heads():
    html = flat(
        "a <table><caption>T</caption><tr><th rowspan=2>h<td colspan=2>x &lt; \\(a &lt; b\\)<tr><td>**1**</table>"
    )
    assert html == (
        '<p>a</p> <div class="scroll"><table><caption>T</caption> <tr><th rowspan="2">h</th><td colspan="2">'
        'x &lt; <span class="math inline">a &lt; b</span></td></tr> <tr><td><strong>1</strong></td></tr> </table></div>'
    )


@pytest.mark.parametrize("mark", ["> ", "- ", "1. "])
def test_no_depth_of_lists_and_quotes_hides_words(mark):
    assert "deep down" in block_html(mark * 200 + "deep down")
    assert "deep down" in block_html("\n".join("  " * depth + "- a" for depth in range(100)) + " deep down")


@pytest.mark.parametrize(
    "text",
    [
        "**a " * 8_000,
        "> " * 20_000,
        "`" * 40_000,
        "``a`" * 8_000,
        "<b>" * 12_000,
        "<b><i>" * 4_000 + "</i></b>" * 4_000,
        r"\(" * 20_000,
        r"\[a\]" * 4_000,
        "[" * 20_000,
        "_a" * 20_000,
        "\\" * 40_000,
        "&" * 40_000,
        "***a*** " * 4_000,
        "| a " * 1000 + "\n" + "|-" * 1000 + "|\n" + "| 1 |\n" * 1000,
        "<table><td>a" * 1200,
        "1. " * 20_000,
        "~~~" * 12_000,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_texts_are_quick(text):
    start = time.process_time()
    block_html(text)
    assert time.process_time() - start < 6


MOLECULES = [
    *("CC(*)C*CC", "*C(=O)O*", "*c1ccc(*)cc1", "C/C=C\\[C@@H](N)C(=O)O", "C[N+](C)(C)CC([O-])=O", "[Na+].[Cl-]"),
    *("F/C(Cl)=C\\(F)Br", "C#CC#N", "[*]CC[*]", "C1=CC=C(C=C1)[C@H](O)\\C=C\\[N+]([O-])=O"),
]


@pytest.mark.parametrize("molecule", MOLECULES)
@pytest.mark.parametrize("around", ["{}", "It is {} here", "<table><td>{}</table>"])
def test_a_molecule_is_kept_as_it_is(molecule, around):
    shown = html.unescape(re.sub("<[^>]+>", "", block_html(around.format(molecule)))).strip()
    assert shown == re.sub("<[^>]+>", "", around.format(molecule))


@pytest.mark.parametrize("words", ["*S*", "**No.**", "**C:**", "*(b)*", "**1.**", "***II***", "*is it so?*"])
def test_words_that_might_be_one_are_words(words):
    assert "*" not in block_html(words)


def test_a_long_row_of_stars_is_quick():
    began = time.process_time()
    block_html("C(*)" * 8_000 + " " + "*" * 8_000)
    assert time.process_time() - began < 4
