"""Markdown as the published code writes it where it is right, and the same streamed as whole."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_pages import GOLDEN, cut_text, model_texts, read_golden, transcript_of

from dsocr.document import (
    FURNITURE,
    STATUSES,
    Document,
    MarkdownStyle,
    StreamingMarkdown,
    Transcript,
    find_figures,
    to_markdown,
    to_text,
)
from dsocr.errors import InputError

IMAGE = "<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>"
TEXT = "<|ref|>text<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>"


def markdown(raw: str) -> str:
    return to_markdown(transcript_of(raw))


def ours(case: str) -> str:
    """Our Markdown with the published names, which have no page in them."""
    return markdown(read_golden(case, "in.txt")).replace("images/1_", "images/")


def published(case: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", read_golden(case, "result.mmd")).strip()


@pytest.mark.parametrize("case", ["refs", "eval_expr", "geometry"])
def test_the_text_is_the_published_one(case):
    assert ours(case) == published(case)


def test_plain_text_is_the_published_one_with_plain_signs():
    assert ours("plain") == published("plain").replace(r"\coloneqq", ":=")


def test_every_box_of_a_block_has_its_link():
    both = "![](images/0.jpg)\n![](images/1.jpg)\n\nx\n![](images/2.jpg)"
    assert (
        ours("multi_box")
        == both
        == published("multi_box")
        .replace("1.jpg)", "2.jpg)")
        .replace("(images/0.jpg)", "(images/0.jpg)\n![](images/1.jpg)")
    )


def test_identical_blocks_have_their_own_links():
    assert ours("dup_identical") == "![](images/0.jpg)\n\nA\n![](images/1.jpg)\n\nB"


def test_a_block_without_a_usable_box_has_no_link():
    assert ours("malformed_det") == "A\n\nB\n![](images/0.jpg)\n\nC"
    assert ours("out_of_range") == "<table><tr><td>1</td></tr></table>"


def test_a_tag_cut_short_by_the_end_is_not_shown():
    assert ours("unterminated") == "loop loop"
    assert markdown(TEXT + "a\n<|ref|>text<|/ref|><|det|>[[12, 3") == "a"


def test_an_unclosed_tag_hides_no_paragraphs():
    assert markdown("<|ref|>one\n\ntwo") == "<|ref|>one\n\ntwo"


def test_blank_lines_are_closed_up_only_where_a_tag_was():
    assert markdown(f"a\n\n{TEXT}\n\nb\n\n\n\nc") == "a\n\nb\n\n\n\nc"


def test_indentation_after_a_tag_stays():
    assert markdown(f"a\n\n{TEXT}\n    b") == "a\n\n    b"


def test_all_pages_of_the_published_run_are_there_and_keep_their_numbers():
    texts = json.loads((GOLDEN / "scripts" / "pdf_run.json").read_text(encoding="utf-8"))["out"]
    pages = [transcript_of(text, number) for number, text in enumerate(texts, start=1)]
    parts = to_markdown(Document("in.pdf", tuple(pages)), page_separator="|||").split("|||")
    kept = (GOLDEN / "scripts" / "pdf" / "in.mmd").read_text(encoding="utf-8").split("<--- Page Split --->")
    assert parts[0] == kept[0].strip().replace("images/0_", "images/1_")
    assert parts[1] == "no eos here: this page will vanish"
    assert parts[2].startswith("![](images/3_0.jpg)\n![](images/3_1.jpg)\n\nx\n![](images/3_2.jpg)")
    assert parts[3] == kept[2].strip().replace(r"\coloneqq", ":=")


@given(model_texts, st.lists(st.integers(0, 200)), st.sampled_from(STATUSES))
def test_streamed_markdown_is_the_whole_markdown(text, cuts, status):
    stream = StreamingMarkdown(7, 600, 840)
    shown = "".join(map(stream.feed, cut_text(text, cuts))) + stream.close(status, "because")
    assert shown == to_markdown(transcript_of(text, 7, status=status, reason="because"))


@given(st.lists(st.sampled_from([IMAGE, TEXT, "\n", "words", "a < b", "\\coloneqq"])).map("".join), st.integers(0, 300))
def test_no_half_tag_is_ever_shown(text, length):
    stream = StreamingMarkdown(1, 600, 840)
    shown = stream.feed(text[:length])
    assert not re.search(r"<\||\|>|\[\[", shown + stream.close())


@given(model_texts)
def test_the_links_are_the_names_of_the_crops(text):
    page = transcript_of(text, 3)
    links = [link for link in re.findall(r"!\[\]\(images/(3_\d+\.jpg)\)", to_markdown(page)) if link not in text]
    assert links == [name for name, _ in find_figures(page)]


@given(model_texts)
def test_no_text_begins_or_ends_with_white_space(text):
    assert markdown(text) == markdown(text).strip()


@pytest.mark.parametrize("status", ["truncated", "looped", "failed", "skipped"])
def test_a_page_that_did_not_end_well_says_so(status):
    page = transcript_of("some text", 3, status=status, reason="a\nreason")
    assert to_markdown(page) == f"some text\n\n<!-- page 3: {status}: a reason -->"
    assert to_text(page) == f"some text\n\n[page 3: {status}: a reason]"


def test_a_failed_page_is_its_comment_and_no_reason_ends_it_early():
    page = Transcript(2, 0, 0, "", (), status="failed", reason="--> <script>")
    assert to_markdown(page) == "<!-- page 2: failed: -> <script> -->"


@given(st.lists(st.sampled_from(["-", "--", ">", "!>", "<!", " ", "words"])).map("".join))
def test_a_comment_ends_where_it_ends(reason):
    comment = to_markdown(Transcript(2, 0, 0, "", (), status="failed", reason=reason))
    assert not re.search(r"<!--|--\s*!?>", comment[4:-3])


def test_options_keep_their_names_in_a_comment():
    page = Transcript(2, 0, 0, "", (), status="failed", reason="lower --dpi, or raise --max-pixels")
    assert to_markdown(page) == "<!-- page 2: failed: lower --dpi, or raise --max-pixels -->"


def test_figures_are_linked_where_the_person_keeps_them():
    page = transcript_of(IMAGE)
    assert to_markdown(page, images_dir="my figures") == "![](my%20figures/1_0.jpg)"
    assert to_markdown(page, images_dir="") == "![](1_0.jpg)"
    assert to_markdown(page, images_dir=None) == ""


def test_no_page_vanishes_between_the_separators():
    pages = tuple(transcript_of("", number) for number in (1, 2, 3))
    assert to_markdown(Document("a.pdf", pages)).count("<--- Page Split --->") == 2
    assert to_text(Document("a.pdf", pages)).count("\f") == 2


HELLO = "<|ref|>Hello<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>"


def test_labels_that_are_text_are_shown():
    page = transcript_of(f"{HELLO}\n<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>\n", labels_are_text=True)
    assert to_markdown(page) == to_text(page) == "Hello\nimage"


def test_other_labels_are_not_shown():
    assert to_markdown(transcript_of(HELLO)) == to_text(transcript_of(HELLO)) == ""


@given(st.one_of(model_texts, st.just(HELLO * 2)), st.lists(st.integers(0, 200)), st.sampled_from(STATUSES))
def test_streamed_labels_are_the_whole_labels(text, cuts, status):
    stream = StreamingMarkdown(7, 600, 840, labels_are_text=True)
    shown = "".join(map(stream.feed, cut_text(text, cuts))) + stream.close(status)
    assert shown == to_markdown(transcript_of(text, 7, status=status, labels_are_text=True))


def test_plain_text_has_no_tags_and_no_links():
    assert to_text(transcript_of(f"a\n{IMAGE}\n{TEXT}\nb")) == "a\n\nb"


@pytest.mark.parametrize(
    "piece", [IMAGE, TEXT, "\n", " ", "\\col", "<|ref|>", "<|ref|>image<|/ref|><|det|>", "<", "a\n"]
)
def test_endless_repetition_streams_quickly(piece):
    stream, start = StreamingMarkdown(1, 600, 840), time.process_time()
    for _ in range(10_000):
        stream.feed(piece)
    stream.close()
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "![](../../etc/passwd)", "<table>", "\ufeffa\x00b", "漢字"]
)
def test_what_the_model_wrote_between_tags_is_shown_as_it_is(text):
    assert markdown(TEXT + text) == text


TABLE = "<table><tr><td colspan=2>a</td></tr><tr><td>\\( b \\)</td><td>c</td></tr></table>"
STYLES = st.builds(
    MarkdownStyle,
    st.sampled_from(["html", "gfm"]),
    st.sampled_from(["latex", "dollar"]),
    st.booleans(),
    st.sampled_from([frozenset(), FURNITURE, frozenset({"text", "image"})]),
)


def styled(raw: str, **style) -> str:
    return to_markdown(transcript_of(raw), style=MarkdownStyle(**style))


@given(model_texts, st.lists(st.integers(0, 300)), st.sampled_from(STATUSES), STYLES, st.booleans())
def test_streamed_markdown_is_the_whole_markdown_in_every_style(text, cuts, status, style, words):
    stream = StreamingMarkdown(7, 600, 840, labels_are_text=words, style=style)
    shown = "".join(map(stream.feed, cut_text(text, cuts))) + stream.close(status, "because")
    assert shown == to_markdown(
        transcript_of(text, 7, status=status, reason="because", labels_are_text=words), style=style
    )


@given(model_texts)
def test_the_usual_style_is_what_the_model_wrote(text):
    assert styled(text, tables="html", maths="latex", page_marks=True, drop=frozenset()) == markdown(text)


def test_tables_stand_apart_from_the_words_around_them():
    lines = "| a |  |\n| --- | --- |\n| $b$ | c |"
    assert styled(f"see {TABLE} below", tables="gfm", maths="dollar") == f"see\n\n{lines}\n\nbelow"
    assert styled(f"{TABLE}\n\n\n\n{TABLE}", tables="gfm", maths="dollar") == f"{lines}\n\n{lines}"
    assert styled(TEXT + TABLE.removesuffix("</td></tr></table>"), tables="gfm", maths="dollar") == lines


def test_a_table_that_gfm_cannot_hold_stays_as_it_is():
    assert styled(f"<table><td>{TABLE}</table>", tables="gfm") == f"<table><td>{TABLE}</table>"


def test_maths_in_dollars_and_plain_signs_go_together():
    assert styled(r"\( a \coloneqq b \) costs $5", maths="dollar") == r"$a := b$ costs \$5"
    assert styled(r"<table><td>\(a \eqqcolon b\)</table>", tables="gfm", maths="dollar").startswith("| $a =: b$ |")


def test_a_formula_that_a_tag_cuts_is_text():
    assert styled(rf"a \( b{TEXT}\) c", maths="dollar") == r"a \( b\) c"


def test_furniture_can_be_left_out():
    raw = "<|ref|>header<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\nRunning head\n" + TEXT + "\nwords\n"
    assert styled(raw, drop=FURNITURE) == "words"
    assert to_text(transcript_of(raw), style=MarkdownStyle(drop=FURNITURE)) == "words"
    assert markdown(raw) == "Running head\n\nwords"


def test_words_are_never_dropped_as_labels():
    page = transcript_of("<|ref|>header<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n", labels_are_text=True)
    assert to_markdown(page, style=MarkdownStyle(drop=FURNITURE)) == "header"


def test_pages_can_follow_without_marks():
    document = Document("a.pdf", (transcript_of("one"), transcript_of("two", 2)))
    assert to_markdown(document, style=MarkdownStyle(page_marks=False)) == "one\n\ntwo"


@pytest.mark.parametrize(("field", "known"), [("tables", "html, gfm"), ("maths", "latex, dollar")])
def test_a_style_that_does_not_exist_is_a_mistake(field, known):
    with pytest.raises(InputError, match=f"{field} 'nice' is unknown; known: {known}"):
        MarkdownStyle(**{field: "nice"})


@pytest.mark.parametrize("piece", ["<table>", "<td>a", "\\(", "\\[x", "$5", "<", TABLE, "|"])
def test_endless_repetition_streams_quickly_in_another_style(piece):
    style, start = MarkdownStyle("gfm", "dollar"), time.process_time()
    stream = StreamingMarkdown(1, 600, 840, style=style)
    for _ in range(4_000):
        stream.feed(piece)
    stream.close()
    assert time.process_time() - start < 3
