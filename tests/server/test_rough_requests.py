"""Requests that are wrong in themselves, or come when all places are taken: answered in one line, in any dialect."""

from __future__ import annotations

import ast
import asyncio
import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from drawn_pages import inked
from PIL import Image
from running import running, wait_until

import dsocr
from dsocr.server.told import for_clients

FORMS = [
    ("POST", "/v1/convert/file"),
    ("POST", "/v1/convert/file/async"),
    ("PUT", "/tika"),
    ("POST", "/tika/form"),
    ("POST", "/api/read"),
]
PART = b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'


def picture() -> bytes:
    buffer = io.BytesIO()
    inked((200, 100)).save(buffer, "PNG")
    return buffer.getvalue()


def many_files() -> bytes:
    return PART.replace(b'"%b"', b'"files"; filename="a"') % b"x" * 1001


class TestForms:
    @pytest.mark.parametrize(("verb", "path"), FORMS)
    @pytest.mark.parametrize(
        "body", [b"no form at all", PART % (b"a", b"x" * 2_000_000) + b"--x--\r\n", many_files() + b"--x--\r\n"]
    )
    def test_one_that_cannot_be_taken_apart_is_refused_in_a_line(self, http, verb, path, body):
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = http.request(verb, path, content=body, headers=headers)
        assert answer.status_code == 400
        assert "log" not in answer.text
        assert "\n" not in answer.text

    @pytest.mark.parametrize(("verb", "path"), FORMS)
    def test_one_without_a_boundary_is_refused_too(self, http, verb, path):
        answer = http.request(verb, path, content=b"x", headers={"Content-Type": "multipart/form-data"})
        assert answer.status_code == 400


class TestNumbers:
    @pytest.mark.parametrize("wait", ["nan", "inf", "-inf", "soon"])
    def test_a_task_is_waited_for_by_a_number_of_seconds(self, http, wait):
        answer = http.get("/v1/status/poll/none", params={"wait": wait})
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("wait: ")

    @pytest.mark.parametrize("dpi", ["nan", "inf", "-1"])
    def test_a_page_is_drawn_at_a_number_of_dots(self, http, dpi):
        answer = http.post("/api/read", files={"file": ("a.png", picture())}, data={"dpi": dpi})
        assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    ("path", "body", "module"),
    [
        ("/v1/ocr", {"document": {"type": "image_url", "image_url": "data:image/png;base64,@"}}, "mistral"),
        ("/v1/convert/source", {"sources": [{"kind": "file", "base64_string": "@"}]}, "docling"),
    ],
)
def test_large_bodies_are_understood_where_they_hold_up_nobody(http, monkeypatch, path, body, module):
    loops = []

    def note(*_):
        loops.append(asyncio._get_running_loop())
        return parse(*_)

    from dsocr.server.chats import parse

    monkeypatch.setattr(f"dsocr.server.{module}.parse", note)
    assert http.post(path, json=body).status_code == 400
    assert loops == [None]


class TestAdvice:
    """What clients are told to do is something that they can do: no option of the command line."""

    FLAG = re.compile(r"--[a-z]")

    @pytest.fixture(scope="class")
    def strict(self, reader, engine):
        """A server on which few pages are small enough."""
        with running(reader, max_pixels=100_000) as server, httpx.Client(base_url=server.address, timeout=30) as http:
            yield http

    @pytest.mark.parametrize(("verb", "path"), [("PUT", "/tika"), ("PUT", "/process"), ("POST", "/api/read")])
    def test_for_a_locked_pdf(self, http, make_pdf, verb, path):
        content = make_pdf(["one"], password="sesame")
        sent = {"files": {"file": ("a.pdf", content)}} if path == "/api/read" else {"content": content}
        answer = http.request(verb, path, **sent)
        assert "the PDF is locked; give its password (a field of /api/read), or send an unlocked copy" in answer.text
        assert not self.FLAG.search(answer.text)

    def test_for_a_picture_too_large(self, strict):
        buffer = io.BytesIO()
        Image.new("RGB", (400, 400)).save(buffer, "PNG")
        answer = strict.put("/tika", content=buffer.getvalue())
        assert answer.status_code == 422
        assert answer.text.endswith("400 x 400 pixels is more than the limit of 100,000 pixels; send a smaller page")

    @pytest.mark.parametrize("pages", [1, 2])
    def test_for_a_pdf_too_large_whether_it_is_all_or_one_page_of_it(self, strict, says, make_pdf, pages):
        says("words")
        content = make_pdf(["large"] * pages, size=(400, 400))
        answer = strict.post("/api/read", files={"file": ("a.pdf", content)}, data={"mode": "tiny"})
        assert answer.status_code == 200  # it has begun
        words = "drawn at 144 dpi: lower the dpi (a field of /api/read), or send a smaller page"
        assert answer.text.count(words) == pages
        assert ("event: error" in answer.text) == (pages == 1)

    @pytest.mark.parametrize("room", ["pages", "engine"])
    def test_whatever_else_the_rooms_below_say(self, room):
        flags = [text for text in self.said_in(room) if self.FLAG.search(text)]
        assert flags
        assert not [text for text in flags if self.FLAG.search(for_clients(text))]

    def test_whatever_the_server_says_itself(self):
        flags = {name for name, text in self.said_by_file("server") if self.FLAG.search(text)}
        assert flags == {"run.py", "told.py"}  # to whoever starts it, and what is said instead

    def said_in(self, room: str) -> Iterator[str]:
        return (text for _, text in self.said_by_file(room))

    def said_by_file(self, room: str) -> Iterator[tuple[str, str]]:
        """All texts in its code but what describes the code itself."""
        for file in (Path(dsocr.__file__).parent / room).glob("*.py"):
            tree = ast.parse(file.read_text("utf-8"))
            described = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
                    yield file.name, node.value


class TestBusy:
    @pytest.fixture(scope="class")
    def full(self, reader, engine):
        """A server in which all places are taken."""
        with running(reader) as server, httpx.Client(base_url=server.address, timeout=30) as http:
            server.worker.line.most = 0
            yield http

    @pytest.mark.parametrize(
        ("verb", "path", "sent"),
        [
            ("PUT", "/tika", {"content": picture()}),
            ("PUT", "/process", {"content": picture()}),
            ("POST", "/v1/convert/file", {"files": {"files": ("a.png", picture())}}),
            ("POST", "/v1/convert/file/async", {"files": {"files": ("a.png", picture())}}),
            ("POST", "/api/read", {"files": {"file": ("a.png", picture())}}),
            *[
                ("POST", f"/v1/convert/source{later}", {"json": {"sources": [{"kind": "file", "base64_string": text}]}})
                for text in [base64.b64encode(picture()).decode()]
                for later in ("", "/async")
            ],
            (
                "POST",
                "/v1/ocr",
                {"json": {"document": {"image_url": f"data:;base64,{base64.b64encode(picture()).decode()}"}}},
            ),
        ],
    )
    def test_whoever_comes_then_is_told_when_to_come_back(self, full, verb, path, sent):
        answer = full.request(verb, path, **sent)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert "too many requests wait already" in answer.text


def test_a_body_counts_as_long_as_a_task_needs_it(reader, says, engine):
    says("words", until=2)
    with running(reader, max_body=20_000) as server, httpx.Client(base_url=server.address, timeout=30) as http:

        def begin() -> httpx.Response:
            return http.post("/v1/convert/file/async", files={"files": ("a.png", picture() + bytes(12_000))})

        begun = [begin() for _ in range(8)]
        assert {answer.status_code for answer in begun} == {200, 429}
        tasks = [answer.json()["task_id"] for answer in begun if answer.status_code == 200]
        assert len(tasks) == 80_000 // (len(picture()) + 12_200)
        engine.go_on()
        for task in tasks:
            assert http.get(f"/v1/status/poll/{task}?wait=30").json()["task_status"] == "success"
        wait_until(lambda: begin().status_code == 200)
