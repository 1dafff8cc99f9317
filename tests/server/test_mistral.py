"""Mistral's OCR, asked by Mistral's own client."""

from __future__ import annotations

import base64
import io

import pytest
from drawn_pages import inked
from PIL import Image

client_module = pytest.importorskip("mistralai.client", reason="needs mistralai")

PAGE = (
    "<|ref|>header<|/ref|><|det|>[[0, 0, 999, 50]]<|/det|>\nHarbour office\n\n"
    "<|ref|>title<|/ref|><|det|>[[100, 100, 500, 200]]<|/det|>\n# The Tides\n\n"
    "<|ref|>image<|/ref|><|det|>[[0, 200, 499, 499]]<|/det|>\n\n"
    "<|ref|>table<|/ref|><|det|>[[0, 500, 999, 800]]<|/det|>\n"
    "<table><tr><th>Month</th><th>Metres</th></tr><tr><td>May</td><td>5.77</td></tr></table>\n\n"
    "<|ref|>equation<|/ref|><|det|>[[0, 800, 999, 900]]<|/det|>\n\\[h = 4\\]"
)


@pytest.fixture
def mistral(address):
    with client_module.Mistral(api_key="any", server_url=address) as client:
        yield client


def url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture() -> str:
    buffer = io.BytesIO()
    inked((200, 100)).save(buffer, "PNG")
    return url(buffer.getvalue())


@pytest.fixture
def ocr(mistral, says):
    """`ocr(pages=[0])`: a picture of one page, read by the client."""

    def ocr(text: str = PAGE, **wishes):
        says(text)
        return mistral.ocr.process(model="any", document={"type": "image_url", "image_url": picture()}, **wishes)

    return ocr


class TestAnswers:
    def test_a_picture_comes_back_as_markdown_with_its_size(self, ocr):
        answer = ocr("# Hello")
        (page,) = answer.pages
        assert (page.index, page.markdown, answer.model) == (0, "# Hello", "nano")
        assert (page.dimensions.width, page.dimensions.height) == (200, 100)
        assert answer.usage_info.pages_processed == 1
        assert answer.usage_info.doc_size_bytes > 100

    def test_pages_of_a_pdf_are_counted_from_0(self, mistral, says, make_pdf):
        says("words")
        document = {"type": "document_url", "document_url": url(make_pdf(["a", "b", "c"]), "application/pdf")}
        for asked in ([0, 2], "0,2"):
            answer = mistral.ocr.process(model="any", document=document, pages=asked)
            assert [page.index for page in answer.pages] == [0, 2]

    def test_figures_are_linked_by_the_ids_they_are_listed_with(self, ocr):
        (page,) = ocr(include_image_base64=True).pages
        (image,) = page.images
        assert f"![{image.id}]({image.id})" in page.markdown
        assert (image.top_left_x, image.top_left_y, image.bottom_right_x, image.bottom_right_y) == (0, 20, 99, 49)
        cut = Image.open(io.BytesIO(base64.b64decode(image.image_base64.partition(",")[2])))
        assert cut.size == (99, 29)

    def test_figures_are_left_out_as_asked(self, ocr):
        assert ocr().pages[0].images[0].image_base64 is None
        assert ocr(image_limit=0).pages[0].images == []
        assert ocr(image_min_size=30).pages[0].images == []

    def test_tables_and_maths_are_markdown(self, ocr):
        markdown = ocr().pages[0].markdown
        assert "| Month | Metres |" in markdown
        assert "$$h = 4$$" in markdown

    @pytest.mark.parametrize(
        ("form", "content"), [("html", "<table>\n<tr><th>Month</th>"), ("markdown", "| Month | Metres |")]
    )
    def test_tables_come_apart_when_asked_for(self, ocr, form, content):
        (page,) = ocr(table_format=form).pages
        (table,) = page.tables
        assert table.content.startswith(content)
        assert f"[{table.id}]({table.id})" in page.markdown
        assert "5.77" not in page.markdown

    def test_headers_come_apart_when_asked_for(self, ocr):
        assert ocr().pages[0].markdown.startswith("Harbour office")
        (page,) = ocr(extract_header=True, extract_footer=True).pages
        assert page.markdown.startswith("# The Tides")
        assert (page.header, page.footer) == ("Harbour office", None)

    def test_blocks_have_mistrals_names_and_pixels(self, ocr):
        blocks = ocr(include_blocks=True).pages[0].blocks
        assert [block.type for block in blocks] == ["header", "title", "image", "table", "equation"]
        assert (blocks[1].top_left_x, blocks[1].bottom_right_y) == (20, 20)
        assert blocks[2].image_id == "img-0.jpeg"

    def test_a_page_that_did_not_end_well_says_so(self, mistral, says):
        says("half a", finish_reason="length")
        answer = mistral.ocr.process(model="any", document={"type": "image_url", "image_url": picture()})
        assert answer.pages[0].markdown == "half a\n\n<!-- page 1: truncated: the limit of new tokens was reached -->"


class TestRefusals:
    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"document": {"type": "file", "file_id": "abc"}}, "document: it needs a document_url or an image_url"),
            (
                {"document": {"type": "document_url", "document_url": "http://169.254.169.254/x"}},
                "this server takes documents by data: URLs only; send the file itself",
            ),
            ({"document": {"type": "document_url", "document_url": "file:///etc/passwd"}}, "this server takes"),
            ({"document": {"type": "image_url", "image_url": "data:image/png;base64,@@"}}, "the document is not valid"),
            ({"document": {"type": "image_url", "image_url": url(b"hello")}}, "document: its content is in none of"),
            ({"pages": [-1]}, "pages: they are counted from 0"),
            ({"pages": "7"}, "document: page 8 is asked for, but the only page is 1"),
            ({"pages": [True]}, "pages.list["),
            ({"pages": "-1"}, "pages: they are counted from 0"),
            ({"pages": "2-0"}, "pages: they are counted from 0"),
            ({"pages": "x" * 100_000}, "pages: they are counted from 0"),
            ({"confidence_scores_granularity": "word"}, "confidence_scores_granularity is not offered here"),
            ({"document": "a.pdf"}, "document: "),
        ],
    )
    def test_what_cannot_be_read_is_refused_in_mistrals_shape(self, http, changed, words):
        body = {"model": "any", "document": {"type": "image_url", "image_url": picture()}, **changed}
        answer = http.post("/v1/ocr", json=body)
        assert answer.status_code == 400
        assert answer.json()["object"] == "error"
        assert answer.json()["message"].startswith(words)
        assert len(answer.json()["message"]) < 300

    def test_the_client_raises_with_the_words(self, mistral):
        with pytest.raises(client_module.errors.SDKError, match="its content is in none of the known formats"):
            mistral.ocr.process(model="any", document={"type": "image_url", "image_url": url(b"hello")})

    def test_without_the_key_nothing_is_read(self, locked):
        with (
            client_module.Mistral(api_key="wrong", server_url=locked) as client,
            pytest.raises(client_module.errors.SDKError, match="API key is missing or wrong"),
        ):
            client.ocr.process(model="any", document={"type": "image_url", "image_url": picture()})
