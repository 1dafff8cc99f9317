"""docling-serve's requests, as its clients send them."""

from __future__ import annotations

import asyncio
import base64
import io
import zipfile

import pytest
from drawn_pages import inked
from fastapi import Response

from dsocr.server.docling import Tasks
from dsocr.server.told import Busy

PAGE = (
    "<|ref|>title<|/ref|><|det|>[[100, 100, 500, 200]]<|/det|>\n# The Tides\n\n"
    "<|ref|>image<|/ref|><|det|>[[0, 200, 499, 499]]<|/det|>\n\n"
)


def picture() -> bytes:
    buffer = io.BytesIO()
    inked((200, 100)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def convert(http):
    """`convert(to_formats=["md"])`: one picture sent in a form."""

    def convert(path: str = "/v1/convert/file", content: bytes | None = None, **fields):
        return http.post(path, files={"files": ("tides.png", content or picture())}, data=fields)

    return convert


class TestFiles:
    def test_markdown_comes_unless_another_form_is_asked_for(self, convert, says):
        says("# The Tides")
        answer = convert().json()
        assert answer["document"] == {
            "filename": "tides.png",
            "md_content": "# The Tides",
            "json_content": None,
            "html_content": None,
            "text_content": None,
            "doctags_content": None,
        }
        assert (answer["status"], answer["errors"], answer["timings"]) == ("success", [], {})
        assert answer["processing_time"] > 0

    def test_several_forms_come_at_once(self, convert, says):
        says("# The Tides")
        document = convert(to_formats=["md", "text", "html", "json"]).json()["document"]
        assert document["text_content"] == "# The Tides"
        assert "<h1>The Tides</h1>" in document["html_content"]

    @pytest.mark.parametrize(
        ("mode", "figure"),
        [
            ("placeholder", "<!-- image -->"),
            ("embedded", "![Image](data:image/jpeg;base64,"),
            ("referenced", "![Image](images/1_0.jpg)"),
        ],
    )
    def test_figures_are_shown_as_asked(self, convert, says, mode, figure):
        says(PAGE)
        assert figure in convert(image_export_mode=mode).json()["document"]["md_content"]

    def test_a_range_of_pages_has_both_its_ends(self, convert, says, make_pdf):
        says("words")
        pdf = make_pdf(["a", "b", "c"])
        document = convert(content=pdf, page_range=[2, 3], md_page_break_placeholder="---").json()["document"]
        assert document["md_content"] == "words\n\n---\n\nwords"

    def test_pages_come_in_their_order_though_they_end_in_another(self, convert, says, make_pdf, slow_to_draw):
        says(PAGE)
        slow_to_draw(1)
        document = convert(content=make_pdf(["a", "b", "c"]), image_export_mode="referenced").json()["document"]
        assert [document["md_content"].index(f"images/{number}_0.jpg") for number in (1, 2, 3)] == sorted(
            document["md_content"].index(f"images/{number}_0.jpg") for number in (1, 2, 3)
        )

    def test_pages_that_are_not_well_make_it_a_partial_success(self, convert, says):
        says("half", finish_reason="length")
        answer = convert().json()
        assert answer["status"] == "partial_success"
        assert answer["errors"][0]["error_message"] == "page 1: truncated: the limit of new tokens was reached"

    def test_several_files_come_in_a_zip(self, http, says):
        says(PAGE)
        files = [("files", (name, picture())) for name in ("a.png", "../a.png")]
        answer = http.post("/v1/convert/file", files=files, data={"image_export_mode": "referenced"})
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
        assert names == ["1_a/a.md", "1_a/images/1_0.jpg", "2_a/a.md", "2_a/images/1_0.jpg"]


class TestSources:
    def test_a_file_in_base64_is_converted(self, http, says):
        says("# The Tides")
        source = {"kind": "file", "base64_string": base64.b64encode(picture()).decode(), "filename": "tides.png"}
        answer = http.post("/v1/convert/source", json={"sources": [source], "options": {"to_formats": ["text"]}})
        assert answer.json()["document"]["text_content"] == "# The Tides"

    def test_addresses_are_not_followed_unless_the_server_allows_it(self, http):
        sources = [{"kind": "http", "url": "http://127.0.0.1:1/a.pdf"}]
        answer = http.post("/v1/convert/source", json={"sources": sources})
        assert answer.status_code == 400
        assert answer.json() == {"detail": "this server takes documents by data: URLs only; send the file itself"}


class TestLater:
    def test_a_task_is_begun_and_its_result_waits(self, convert, http, says, engine):
        says("# The Tides", until=5)
        task = convert("/v1/convert/file/async").json()
        assert (task["task_type"], task["task_status"]) == ("convert", "pending")
        assert http.get(f"/v1/result/{task['task_id']}").status_code == 404
        assert http.get(f"/v1/status/poll/{task['task_id']}").json()["task_status"] == "started"
        engine.go_on()
        polled = http.get(f"/v1/status/poll/{task['task_id']}", params={"wait": 30}).json()
        assert polled["task_status"] == "success"
        result = http.get(f"/v1/result/{task['task_id']}").json()
        assert result["document"]["md_content"] == "# The Tides"

    def test_a_task_that_fails_says_why(self, convert, http):
        task = convert("/v1/convert/file/async", content=b"hello").json()["task_id"]
        assert http.get(f"/v1/status/poll/{task}", params={"wait": 30}).json()["task_status"] == "failure"
        result = http.get(f"/v1/result/{task}")
        assert result.status_code == 400
        assert result.json()["detail"].startswith("tides.png: its content is in none of the known formats")

    def test_a_task_that_nobody_began_is_not_found(self, http):
        assert http.get("/v1/status/poll/none").json() == {"detail": "Task not found."}
        assert http.get("/v1/result/none").status_code == 404

    def test_tasks_are_bounded_and_forgotten(self):
        async def done() -> Response:
            return Response()

        async def try_it() -> None:
            tasks = Tasks(most=1, seconds=-1.0)
            first = tasks.begin(done())["task_id"]
            with pytest.raises(Busy):
                tasks.begin(done())
            await tasks.status(first, 1)
            await asyncio.sleep(0)
            second = tasks.begin(done())["task_id"]
            assert tasks.result(first) is None
            await tasks.status(second, 1)

        asyncio.run(try_it())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"to_formats": ["doctags"]},
            "to_formats: doctags is not written here; known, a field for each: md, json, html, text",
        ),
        ({"target_type": "s3"}, "target 's3': input should be 'inbody' or 'zip'"),
        ({"page_range": [3, 2]}, "page_range 3, 2: it begins with 1 or more and does not run backwards"),
        ({"page_range": [1]}, "page_range: "),
        ({"image_export_mode": "sideways"}, "image_export_mode: "),
    ],
)
def test_what_cannot_be_asked_is_refused_in_doclings_shape(convert, fields, words):
    answer = convert(**fields)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(words)


def test_a_form_without_a_file_is_refused(http):
    assert http.post("/v1/convert/file", data={"x": "y"}).json() == {"detail": "files: there is none in the form"}
