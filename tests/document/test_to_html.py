"""An HTML page holds the whole document, and nothing in it links, fetches or runs, whatever the model wrote."""

from __future__ import annotations

import re
from base64 import b64decode
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tables import table_texts
from written_pages import model_texts, published_page, read_golden, transcript_of

from dsocr.document import Block, Box, Document, Transcript, figure_files, to_html

ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "section",
        "div",
        "span",
        "a",
        "p",
        "br",
        "hr",
    ),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "b", "i", "u"),
    *(
        "s",
        "sup",
        "sub",
        "small",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "td",
        "th",
        "figure",
        "figcaption",
        "img",
    ),
    *("svg", "g", "line", "circle", "text", "details", "summary"),
}
ADDRESSES = re.compile(r"#page-\d+|data:image/jpeg;base64,[A-Za-z0-9+/=]+|http://www\.w3\.org/2000/svg")
ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<b onmouseover=alert(1)>a</b>",
    "<a href='javascript:alert(1)'>a</a>",
    "[a](javascript:alert(1))",
    "[a](http://example.org)",
    "![a](http://example.org/a.png)",
    "<javascript:alert(1)>",
    "http://example.org",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<math href='javascript:alert(1)'>a</math>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</section></main></body></html><script>alert(1)</script>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\ud83d<script>\udc00",
    "<b><b><b><i><sup><center>",
    "<table><td onclick=alert(1) colspan='2\" onload=\"x'>a<table><td><script>alert(1)</script>",
    "<table><caption><img src=x onerror=alert(1)></caption><td><style>*{display:none}</style>",
    "<table><td rowspan=1000000000 colspan=1000000000>a",
    "\\(<img src=x onerror=alert(1)>\\) \\[</div><script>alert(1)</script>\\]",
    '```"><script>alert(1)</script>\nx\n```',
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<base href='http://example.org/'><meta http-equiv=refresh content='0;url=http://example.org'>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<table><td>&lt;script&gt;alert(1)&lt;/script&gt;</table>",
    "{'Line': {'line_endpoint': [\"<script>: (0, 0)\"]}}",
]


class Reader(HTMLParser):
    """What a browser would find: elements in the order of their beginning, and all text outside of <style>."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def page_of(raw: str, **fields) -> str:
    return to_html(Document("scans/a.pdf", (transcript_of(raw, **fields),)))


def assert_safe(page: str) -> None:
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", page)
    for tag, attributes in Reader(page).elements:
        assert tag in ALLOWED
        assert not [name for name in attributes if name.startswith("on")]
        assert set(attributes) & {"style"} <= ({"style"} if tag in ("td", "th") else set())
        for name in {"href", "src", "xmlns", "srcdoc", "action", "formaction", "xlink:href"} & set(attributes):
            assert ADDRESSES.fullmatch(attributes[name])
        assert max(int(attributes.get(name, 1)) for name in ("colspan", "rowspan")) <= 1000


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: ascii(attack)[:40])
def test_no_attack_gets_through(attack):
    for raw in (attack, f"<|ref|>{attack}<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>{attack}", f"a\n{attack}\n\nb"):
        assert_safe(page_of(raw))
        assert_safe(page_of(raw, labels_are_text=True))
    assert_safe(to_html(Document(f"a/{attack}", (Transcript(1, 0, 0, "", (), "failed", attack),))))


@given(st.one_of(model_texts, table_texts, st.lists(st.sampled_from(ATTACKS)).map("".join)), st.booleans())
def test_no_text_makes_an_unsafe_page(text, words):
    assert_safe(page_of(text, labels_are_text=words))


class Nesting(HTMLParser):
    """What is open; an end that is not that of the last beginning is an error."""

    open: tuple[str, ...] = ()

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open += (tag,)

    def handle_startendtag(self, tag, attrs):
        """<br /> and the lines of drawings."""

    def handle_endtag(self, tag):
        assert self.open[-1] == tag
        self.open = self.open[:-1]


@given(
    st.lists(st.sampled_from([*ATTACKS, "\n", "\n\n", "# a", "- b", "  - c", "**", "<b>", "</b>", "<table>"])).map(
        "".join
    )
)
def test_elements_are_closed_as_they_were_opened(text):
    nesting = Nesting()
    nesting.feed(page_of(text))
    assert nesting.open == ()


def test_a_page_has_its_number_and_its_status():
    pages = (transcript_of("a", 3), Transcript(4, 0, 0, "", (), "failed", "damaged\nbeyond"))
    reader = Reader(to_html(Document("scans/a.pdf", pages)))
    sections = [attributes for tag, attributes in reader.elements if tag == "section"]
    assert [(each["id"], each["data-status"]) for each in sections] == [("page-3", "ok"), ("page-4", "failed")]
    assert "Page 4 failed: damaged beyond" in reader.text
    assert "a.pdf" in reader.text
    assert "scans" not in reader.text


def test_every_block_has_its_label_and_its_boxes():
    blocks = (Block("text", (Box(1, 2, 300.7, 4000), Box(5, 6, 7, 8)), "a"), Block("", (), "b"))
    elements = Reader(to_html(Transcript(1, 100, 100, "", blocks))).elements
    assert [attributes for tag, attributes in elements if tag == "div"] == [
        {"dir": "auto", "data-label": "text", "data-box": "1 2 300 999, 5 6 7 8"},
        {"dir": "auto"},
    ]


def images(page: str) -> list[bytes]:
    found = [attributes["src"] for tag, attributes in Reader(page).elements if tag == "img"]
    return [b64decode(address.partition(",")[2]) for address in found]


def test_figures_are_in_the_page_where_its_image_was_kept():
    page = transcript_of(read_golden("multi_box", "in.txt"), image=published_page())
    assert images(to_html(page)) == [figure.content for figure in figure_files(page)]


def test_figures_that_were_cropped_before_are_in_the_page_too():
    raw = read_golden("multi_box", "in.txt")
    figures = list(figure_files(transcript_of(raw, image=published_page())))
    assert images(to_html(transcript_of(raw), figures)) == [figure.content for figure in figures]
    assert "figure 1_0.jpg was not kept" in Reader(to_html(transcript_of(raw), figures[1:])).text


def test_words_with_boxes_are_shown():
    page = page_of("<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>\n", labels_are_text=True)
    assert "<p>image</p>" in page
    assert 'data-box="0 0 499 499"' in page


def test_labels_that_are_dropped_are_not_there():
    raw = "<|ref|>header<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>Running head\n<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>Words"
    text = Reader(to_html(transcript_of(raw), drop={"header"})).text
    assert "Running head" not in text
    assert "Words" in text


def test_a_plane_figure_is_drawn_and_its_text_is_there():
    page = page_of(read_golden("geometry", "in.txt"))
    assert page.count("<line ") == 2
    assert "'line_type': ['--', '-']" in Reader(page).text


def test_the_page_forbids_itself_to_fetch_and_run():
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page_of("a")
