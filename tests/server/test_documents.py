"""Our own interface: a document's pages as they are written, and the document to take along afterwards."""

from __future__ import annotations

import io
import json

import httpx
import pytest
from dictated import DictatedEngine
from drawn_pages import inked
from PIL import Image
from pypdfium2 import PdfDocument
from running import running, wait_until

import dsocr
from dsocr.server.kept import Documents

TITLE = "<|ref|>title<|/ref|><|det|>[[10, 20, 500, 90]]<|/det|>\n# The Tides\n\n"
TEXT = "<|ref|>text<|/ref|><|det|>[[10, 100, 500, 400]]<|/det|>\nThe bay empties itself."
FIGURE = "<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>\n\n"


def picture(**options) -> bytes:
    buffer = io.BytesIO()
    inked((200, 100)).save(buffer, "PNG", **options)
    return buffer.getvalue()


def events_of(answer) -> list[tuple[str, dict]]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [event.split("\n") for event in answer.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in lines]


@pytest.fixture
def read(http):
    """`read(content, pages="2")`: the events of a document."""

    def read(content: bytes, name: str = "tides.png", **fields) -> list[tuple[str, dict]]:
        return events_of(http.post("/api/read", files={"file": (name, content)}, data={"mode": "tiny", **fields}))

    return read


def one(events, kind: str) -> dict:
    (found,) = [data for name, data in events if name == kind]
    return found


class TestReading:
    def test_a_page_is_told_from_its_picture_to_its_end(self, read, says):
        says(TITLE + TEXT, letters=7)
        events = read(picture())
        kinds = [name for name, _ in events]
        assert kinds[:2] == ["document", "page"]
        assert kinds[-2:] == ["page_end", "end"]
        assert one(events, "document")["name"] == "tides.png"
        page = one(events, "page")
        assert (page["page"], page["of"], page["width"], page["height"]) == (1, 1, 200, 100)

    def test_blocks_begin_with_their_boxes_and_the_text_that_is_told_has_no_tags(self, read, says):
        says(TITLE + TEXT, letters=3)
        events = read(picture())
        begun = [(data["label"], data["boxes"]) for name, data in events if name == "block"]
        assert begun == [("title", [[10, 20, 500, 90]]), ("text", [[10, 100, 500, 400]])]
        told = "".join(data["delta"] for name, data in events if name == "text")
        assert told.split() == ["#", "The", "Tides", "The", "bay", "empties", "itself."]
        assert one(events, "block_end")["html"] == "<h1>The Tides</h1>\n"

    def test_the_end_of_a_page_has_its_blocks_as_they_are_shown(self, read, says):
        says(TITLE + TEXT)
        end = one(read(picture()), "page_end")
        assert (end["page"], end["status"], end["reason"]) == (1, "ok", None)
        assert [(block["label"], block["text"], block["html"]) for block in end["blocks"]] == [
            ("title", "# The Tides", "<h1>The Tides</h1>\n"),
            ("text", "The bay empties itself.", "<p>The bay empties itself.</p>\n"),
        ]

    def test_markup_that_a_page_holds_comes_out_as_text(self, read, says):
        says("<script>alert(1)</script><img src=x onerror=alert(1)>")
        (block,) = one(read(picture()), "page_end")["blocks"]
        assert "<script" not in block["html"]
        assert "<img" not in block["html"]
        assert "&lt;script&gt;" in block["html"]

    def test_words_with_boxes_are_blocks_without_a_label(self, read, says):
        says("<|ref|>Hello<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\n")
        events = read(picture(), prompt="ocr")
        assert one(events, "block") == {"page": 1, "label": "", "boxes": [[1, 2, 30, 40]]}
        assert one(events, "page_end")["blocks"][0]["text"] == "Hello"

    def test_where_no_boxes_are_written_text_comes_without_a_block(self, read, says):
        says("The bay empties itself.", letters=5)
        events = read(picture(), prompt="free")
        assert {name for name, _ in events} == {"document", "page", "text", "page_end", "end"}

    def test_only_the_pages_that_are_asked_for_are_read(self, read, says, make_pdf):
        says("words")
        events = read(make_pdf(["one", "two", "three"]), "three.pdf", pages="2-")
        assert {(data["page"], data["of"]) for name, data in events if name == "page"} == {(2, 2), (3, 2)}

    def test_a_page_that_is_damaged_ends_as_failed_and_costs_no_other(self, read, says, make_pdf):
        says("words")
        events = read(make_pdf(["one", None]), "two.pdf")
        ends = [(data["page"], data["status"]) for name, data in events if name == "page_end"]
        assert sorted(ends) == [(1, "ok"), (2, "failed")]

    def test_pages_are_shown_and_written_side_by_side(self, read, http, says, make_pdf):
        says(TITLE + TEXT, letters=3)
        events = read(make_pdf(["one", "two"]), "two.pdf")
        first_end = next(place for place, (name, _) in enumerate(events) if name == "page_end")
        assert {data["page"] for name, data in events[:first_end] if name == "text"} == {1, 2}
        for number in (1, 2):
            told = "".join(data["delta"] for name, data in events if name == "text" and data["page"] == number)
            assert told.split() == ["#", "The", "Tides", "The", "bay", "empties", "itself."]

    def test_pages_that_end_in_another_order_are_kept_in_their_own(self, read, http, says, make_pdf, slow_to_draw):
        says("words")
        slow_to_draw(1)
        events = read(make_pdf(["one", "two", "three"]), "three.pdf")
        assert [data["page"] for name, data in events if name == "page_end"][-1] == 1
        id = one(events, "document")["id"]
        assert [page["number"] for page in http.get(f"/api/documents/{id}/x.json").json()["pages"]] == [1, 2, 3]

    def test_half_a_surrogate_pair_harms_no_answer(self, read, http, says):
        says("broken \ud800 letter")
        id = one(read(picture()), "document")["id"]
        for form in ("md", "html", "json", "txt", "pdf"):
            assert http.get(f"/api/documents/{id}/x.{form}").status_code == 200


def test_to_hang_up_ends_the_reading(http, says, engine):
    says("word " * 100, until=10)
    with http.stream("POST", "/api/read", files={"file": ("a.png", picture())}, data={"mode": "tiny"}) as answer:
        lines = answer.iter_lines()  # held: to let go of it is to hang up
        assert any(line.startswith("event: text") for line in lines)
        assert engine.busy
    wait_until(lambda: not engine.busy)


def test_answers_that_a_server_cannot_wait_for_say_that_it_ends(checkpoint, monkeypatch):
    monkeypatch.setattr("dsocr.server.run._STOPPING", 0.2)
    reader, engine = dsocr.load(checkpoint), DictatedEngine()
    reader.__dict__["engine"], engine.text, engine.until = engine, "word " * 100, 10
    file = {"file": ("a.png", picture())}
    with running(reader) as server, httpx.stream("POST", f"{server.address}/api/read", files=file) as answer:
        lines = answer.iter_lines()
        assert any(line.startswith("event: text") for line in lines)
        server.stop()
        rest = list(lines)
    assert sum("the server is ending" in line for line in rest) == 1
    assert "event: end" in rest


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"mode": "huge"}, "mode 'huge' is unknown; known: tiny, small, base, large, gundam, gundam-m"),
            ({"pages": "3-1"}, "pages '3-1': '3-1' runs backwards; write 1-3"),
            ({"prompt": "locate"}, "prompt 'locate' needs what to look for: locate:TEXT"),
        ],
    )
    def test_what_cannot_be_asked_is_refused_in_words(self, http, fields, words):
        answer = http.post("/api/read", files={"file": ("a.png", picture())}, data=fields)
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, words)

    def test_a_file_that_is_no_document_ends_in_words_that_name_it_and_no_path(self, read):
        message = one(read(b"hello", "../../etc/notes.txt"), "error")["message"]
        assert message.startswith("notes.txt: its content is in none of the known formats")
        assert "/" not in message

    def test_what_fails_inside_is_not_told(self, read, says, engine):
        says(RuntimeError("secret place"))
        events = read(picture())
        assert "secret" not in json.dumps(events)
        assert one(events, "page_end")["status"] == "failed"

    def test_a_file_must_be_there(self, http):
        assert http.post("/api/read", data={"mode": "tiny"}).status_code == 422

    def test_a_second_file_is_not_passed_over(self, http):
        files = [("file", (name, picture())) for name in ("a.png", "b.png")]
        answer = http.post("/api/read", files=files)
        assert (answer.status_code, "one at a time" in answer.json()["error"]["message"]) == (400, True)

    def test_a_dpi_must_be_a_number(self, http):
        answer = http.post("/api/read", files={"file": ("a.png", picture())}, data={"dpi": "fine"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "dpi")


class TestDownloads:
    @pytest.fixture
    def document(self, read, says) -> str:
        says(FIGURE + TITLE + TEXT)
        return f"/api/documents/{one(read(picture()), 'document')['id']}"

    def test_every_form_is_there_and_none_of_them_runs(self, http, document):
        answers = {form: http.get(f"{document}/tides.{form}") for form in ("md", "html", "json", "txt", "pdf")}
        assert answers["md"].text == "# The Tides\n\nThe bay empties itself.\n"
        assert answers["json"].json()["pages"][0]["blocks"][1]["label"] == "title"
        assert answers["txt"].headers["content-type"] == "text/plain; charset=utf-8"
        assert all("sandbox" in answer.headers["content-security-policy"] for answer in answers.values())

    def test_html_has_the_figures(self, http, document):
        assert 'src="data:image/jpeg;base64,' in http.get(f"{document}/tides.html").text

    def test_the_pdf_of_a_picture_can_be_searched(self, http, document):
        pdf = PdfDocument(http.get(f"{document}/tides.pdf").content)
        assert "empties" in pdf[0].get_textpage().get_text_bounded()

    def test_the_pdf_of_a_pdf_has_the_text_too(self, read, http, says):
        says("Harbour office")
        original = io.BytesIO()
        inked((200, 100)).save(original, "PDF")
        id = one(read(original.getvalue(), "scan.pdf"), "document")["id"]
        pdf = PdfDocument(http.get(f"/api/documents/{id}/scan.pdf").content)
        assert pdf[0].get_textpage().get_text_bounded() == "Harbour office"

    def test_a_pages_picture_is_there(self, http, document):
        answer = http.get(f"{document}/pages/1.jpg")
        assert Image.open(io.BytesIO(answer.content)).size == (200, 100)

    def test_of_a_page_that_was_not_read_it_is_not_said_that_the_document_is_gone(self, http, document):
        answer = http.get(f"{document}/pages/9.jpg")
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith("the document is here, a picture of that page is not")

    @pytest.mark.parametrize("path", ["nobody/x.md", "nobody/pages/1.jpg"])
    def test_a_document_that_is_not_there_is_404_in_words(self, http, path):
        answer = http.get(f"/api/documents/{path}")
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            "this document is not here any more; have it read again",
        )

    def test_a_form_that_is_not_known_is_404_in_words(self, http, document):
        answer = http.get(f"{document}/tides.exe")
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            "there is no such form; known: md, html, json, txt, pdf",
        )


class TestKept:
    def test_ids_differ_and_cannot_be_counted_through(self):
        documents = Documents()
        ids = {documents.begin("a.png", b"x").id for _ in range(50)}
        assert len(ids) == 50
        assert all(len(id) == 24 for id in ids)

    def test_the_one_not_asked_for_the_longest_time_goes_first(self):
        clock = iter(range(1000))
        documents = Documents(most=2, clock=lambda: next(clock))
        first, second = documents.begin("1", b""), documents.begin("2", b"")
        assert documents.find(first.id)
        third = documents.begin("3", b"")
        assert documents.find(second.id) is None
        assert documents.find(first.id)
        assert documents.find(third.id)

    def test_bytes_are_bounded_and_a_page_too_many_has_no_picture(self):
        documents = Documents(most_bytes=100)
        old, new = documents.begin("old", b"x" * 60), documents.begin("new", b"x" * 30)
        assert documents.add_picture(new, 1, b"y" * 50)
        assert documents.find(old.id) is None
        assert not documents.add_picture(new, 2, b"y" * 50)
        assert list(new.pictures) == [1]

    def test_after_a_while_it_is_gone(self):
        now = [0.0]
        documents = Documents(seconds=10, clock=lambda: now[0])
        kept = documents.begin("a", b"")
        now[0] = 9.0
        assert documents.find(kept.id)
        now[0] = 18.0
        assert documents.find(kept.id)
        now[0] = 30.0
        assert documents.find(kept.id) is None
