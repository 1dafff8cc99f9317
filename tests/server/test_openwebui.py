"""Open WebUI's loader: the file is the body, its name a header."""

from __future__ import annotations

import io
from urllib.parse import quote

import pytest
from drawn_pages import inked


@pytest.fixture
def process(http):
    def process(content: bytes | None = None, name: str = "Fahrpläne 2.png"):
        if content is None:
            buffer = io.BytesIO()
            inked((200, 100)).save(buffer, "PNG")
            content = buffer.getvalue()
        return http.put("/process", content=content, headers={"X-Filename": quote(name), "Content-Type": "image/png"})

    return process


def test_the_text_comes_with_what_is_known_of_the_file(process, says):
    says("<|ref|>title<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\n# Hello")
    assert process().json() == {
        "page_content": "# Hello",
        "metadata": {"source": "Fahrpläne 2.png", "pages": 1, "pages_not_ok": ""},
    }


def test_pages_that_are_not_well_are_named(process, says):
    says("half", finish_reason="length")
    assert process().json()["metadata"]["pages_not_ok"] == "1"


def test_a_file_without_text_is_refused_with_the_words_that_open_webui_knows(process, says):
    says("")
    answer = process()
    assert (answer.status_code, answer.json()) == (422, {"detail": "No extractable text in Fahrpläne 2.png"})


def test_a_file_that_cannot_be_read_is_refused_by_its_name_alone(process):
    answer = process(b"hello", "../../secret/notes.txt")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("notes.txt: its content is in none of the known formats")
