"""What clients of Tika put, and what they take."""

from __future__ import annotations

import io

import pytest
from drawn_pages import inked

PAGE = "<|ref|>title<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\n# Hello\n\n<b>bold</b> <script>no</script>"


def picture() -> bytes:
    buffer = io.BytesIO()
    inked((200, 100)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def put(http, says):
    def put(path: str, accept: str = "*/*", content: bytes | None = None):
        says(PAGE)
        return http.put(path, content=content or picture(), headers={"Accept": accept, "Content-Type": "image/png"})

    return put


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("/tika", "*/*", "text/plain"),
        ("/tika", "text/html", "text/html"),
        ("/tika", "application/json", "application/json"),
        ("/tika", "application/json;q=0.9, */*", "application/json"),
        ("/tika/text", "*/*", "application/json"),
        ("/tika/text", "text/plain", "text/plain"),
        ("/tika/html", "*/*", "text/html"),
    ],
)
def test_the_path_and_what_is_accepted_decide_the_form(put, path, accept, kind):
    answer = put(path, accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert "Hello" in answer.text


def test_json_has_the_text_and_what_is_known_of_the_file(put):
    answer = put("/tika/text").json()
    assert answer["X-TIKA:content"].startswith("# Hello")
    assert (answer["Content-Type"], answer["xmpTPg:NPages"]) == ("image/png", "1")


def test_html_is_safe(put):
    assert "<script" not in put("/tika", "text/html").text
    assert "<script" not in put("/tika", "application/json").json()["X-TIKA:content"]


def test_a_file_may_come_in_a_form(http, says):
    says(PAGE)
    answer = http.post("/tika/form/text", files={"upload": ("letter.png", picture())})
    assert answer.json()["resourceName"] == "letter.png"


def test_whoever_asks_whether_it_is_there_is_told(http):
    assert http.get("/tika").status_code == 200


def test_what_cannot_be_read_is_422_in_words(put):
    answer = put("/tika", content=b"hello")
    assert answer.status_code == 422
    assert answer.text.startswith("document: its content is in none of the known formats")
