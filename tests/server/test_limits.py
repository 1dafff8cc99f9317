"""The gate: who may come in, with how much, for how long, and what those are told who may not."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from contextlib import suppress

import httpx
import pytest
from drawn_pages import inked
from hypothesis import given
from hypothesis import strategies as st
from running import data_url, running, wait_until

from dsocr import load
from dsocr.engine.sequence import Sequence
from dsocr.errors import InputError
from dsocr.ocr import OCR
from dsocr.server.limits import BODIES, Gate
from dsocr.server.metrics import Metrics
from dsocr.server.settings import Settings

CHAT = "/v1/chat/completions"
PAGE = inked()
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@pytest.fixture(scope="module")
def loaded(checkpoint) -> OCR:
    return load(checkpoint, device="cpu")


def reader(loaded: OCR) -> OCR:
    return OCR(loaded.network, loaded.tokenizer, batch=2)


@pytest.fixture(scope="module")
def server(loaded):
    with running(reader(loaded), max_body=100_000, max_pixels=10_000, queue=2) as server:
        yield server


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.address, timeout=30) as client:
        yield client


def chat(image=None, text: str = "Hello", **fields) -> dict:
    images = [{"type": "image_url", "image_url": {"url": data_url(image)}}] if image else []
    content = [*images, {"type": "text", "text": text}]
    return {"messages": [{"role": "user", "content": content}], "mode": "tiny", "max_tokens": 2} | fields


def words(answer: httpx.Response) -> str:
    """What a refusal says, which is in OpenAI's form."""
    error = answer.json()["error"]
    assert {"message", "type", "param", "code"} == set(error)
    assert answer.json()["detail"] == error["message"]
    return error["message"]


def is_idle(server) -> bool:
    return server.worker.ocr.engine.scheduler.idle and server.worker.line.here == 0


class TestKeys:
    @pytest.fixture(scope="class")
    def locked(self, loaded):
        with running(reader(loaded), api_keys=("secret-one", "secret-two")) as server:
            yield server

    @pytest.fixture(scope="class")
    def client(self, locked):
        with httpx.Client(base_url=locked.address, timeout=30) as client:
            yield client

    @pytest.mark.parametrize("key", ["secret-one", "secret-two"])
    def test_any_of_the_keys_opens_the_door_in_either_header(self, client, key):
        for headers in ({"Authorization": f"Bearer {key}"}, {"authorization": f"bearer {key}"}, {"X-Api-Key": key}):
            assert client.get("/v1/models", headers=headers).status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Authorization": "Bearer"}, {"Authorization": "secret-one"}, {"X-Api-Key": "secret-on"}]
        + [{"Authorization": f"Bearer {key}"} for key in ("secret-onE", "secret-one2", "é", "secret-one secret-two")],
    )
    def test_nothing_else_does(self, client, headers):
        encoded = {name: value.encode() for name, value in headers.items()}
        for path in ("/v1/models", "/metrics", "/nowhere"):
            answer = client.get(path, headers=encoded)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "secret" not in answer.text
        assert client.post(CHAT, headers=encoded, json=chat()).json()["error"]["code"] == "invalid_api_key"

    @pytest.mark.parametrize("path", ["/health", "/ready", "/"])
    def test_whether_it_lives_is_told_to_everybody(self, client, path):
        assert client.get(path).status_code == 200

    @given(st.binary(max_size=20), st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3))
    def test_a_key_is_right_or_wrong_whatever_it_is_made_of(self, given, keys):
        gate = Gate(None, Settings(api_keys=tuple(keys)), Metrics())
        right = given in [key.encode() for key in keys]
        assert gate._has_key("/v1/models", {b"x-api-key": given}) == right

    def test_keys_are_not_shown_with_the_settings(self):
        assert "secret" not in repr(Settings(api_keys=("secret",)))


class TestBrowsers:
    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1"])
    def test_a_name_that_only_leads_here_is_not_answered(self, http, host):
        answer = http.get("/v1/models", headers={"Host": host.encode()})
        assert answer.status_code in (400, 403)  # the first where it is no name at all

    @pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
    def test_its_own_names_are(self, http, host):
        assert http.get("/v1/models", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
    def test_pages_from_elsewhere_may_not_ask(self, http, origin):
        answer = http.post(CHAT, json=chat(), headers={"Origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert "access-control-allow-origin" not in http.options(CHAT, headers=asked).headers

    def test_its_own_page_may(self, http, server):
        assert http.get("/v1/models", headers={"Origin": server.address}).status_code == 200

    def test_pages_that_are_named_may(self, loaded):
        origin, key = "https://good.example", {"X-Api-Key": "key"}
        chosen = {"cors": (origin,), "api_keys": ("key",)}
        with running(reader(loaded), **chosen) as server, httpx.Client(base_url=server.address) as http:
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            assert http.options(CHAT, headers=asked).headers["access-control-allow-origin"] == origin
            answer = http.get("/v1/models", headers=key | {"Origin": origin})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
            assert http.get("/v1/models", headers={"Origin": origin}).status_code == 401
            assert http.options(CHAT, headers=asked | {"Origin": "https://e"}).status_code == 400

    def test_every_answer_has_the_headers_that_keep_browsers_out(self, http):
        for answer in (http.get("/health"), http.get("/nowhere"), http.post(CHAT, content=b"{"), http.get("/metrics")):
            assert HEADERS.items() <= dict(answer.headers).items()
            assert "server" not in answer.headers


class TestBodies:
    @pytest.fixture(autouse=True)
    def hasty(self, monkeypatch):
        monkeypatch.setattr("dsocr.server.limits._PATIENCE", 0.2)

    def test_one_that_says_it_is_too_large_is_not_even_waited_for(self, server):
        with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) as connection:
            connection.sendall(b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100001\r\n\r\n" % CHAT.encode())
            assert b" 413 " in connection.recv(1000)

    @pytest.mark.parametrize("path", [CHAT, "/api/read", "/tika"])
    def test_one_that_only_turns_out_to_be_is_refused_on_the_way(self, http, path):
        multipart = path == "/api/read"

        def endless():
            yield (
                b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' if multipart else b'{"x": "'
            )
            while True:
                yield b"x" * 10_000

        headers = {"Content-Type": "multipart/form-data; boundary=x"} if multipart else {}
        try:
            answer = http.request("PUT" if path == "/tika" else "POST", path, content=endless(), headers=headers)
        except httpx.TransportError:  # the connection was closed while we went on sending
            return
        assert answer.status_code == 413
        assert "more than 100,000 bytes" in words(answer)

    def test_one_that_nobody_listens_to_is_not_listened_to_for_ever(self, http):
        def endless():
            while True:
                yield b"x" * 10_000

        with suppress(httpx.TransportError):  # the connection is closed while we go on sending
            assert http.post("/nowhere", content=endless()).status_code == 404

    def test_all_of_them_together_are_bounded(self, loaded):
        async def app(scope, receive, send):
            while (await receive()).get("more_body"):
                pass
            await asyncio.Event().wait()

        gate, sent = Gate(app, Settings(max_body=10), Metrics()), []

        async def ask(number):
            bodies = iter([{"type": "http.request", "body": b"x" * 10}])

            async def receive():
                message = next(bodies, None)
                return message or await asyncio.Event().wait()

            async def send(message):
                sent.append((number, message.get("status")))

            scope = {"type": "http", "path": "/", "headers": [(b"host", b"localhost")]}
            await gate(scope, receive, send)

        async def crowd():
            tasks = [asyncio.ensure_future(ask(number)) for number in range(BODIES + 1)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

        asyncio.run(crowd())
        assert (BODIES, 429) in sent
        assert gate._held.bytes == 0

    def test_one_that_drips_is_not_waited_for(self, loaded):
        with running(reader(loaded), body_seconds=0.3) as server:
            port = int(server.address.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx" % CHAT.encode())
                assert b" 408 " in connection.recv(1000)

    def test_a_picture_of_too_many_pixels_is_not_decoded(self, http):
        def chunk(kind: bytes, content: bytes) -> bytes:
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(bytes(9000)))
            + chunk(b"IEND", b"")
        )
        began = time.monotonic()
        assert "30,000 x 30,000 pixels is more than the limit of 10,000" in words(http.post(CHAT, json=chat(bomb)))
        assert time.monotonic() - began < 20


@pytest.fixture
def slow_engine(monkeypatch):
    """A machine on which each token takes its time."""
    write = Sequence.write

    def write_slowly(*given):
        time.sleep(0.02)
        return write(*given)

    monkeypatch.setattr(Sequence, "write", write_slowly)


@pytest.mark.usefixtures("slow_engine")
class TestTime:
    def test_whoever_hangs_up_is_worked_for_no_longer(self, server, http):
        def hang_up(**fields):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(server.address + CHAT, json=chat(max_tokens=8000, **fields), timeout=0.5)

        hang_up()
        wait_until(lambda: is_idle(server))
        with httpx.stream("POST", server.address + CHAT, json=chat(max_tokens=8000, stream=True)) as answer:
            next(answer.iter_lines())
        wait_until(lambda: is_idle(server))

    def test_an_answer_that_takes_too_long_is_given_up(self, loaded):
        with running(reader(loaded), seconds=0.4) as server:
            answer = httpx.post(server.address + CHAT, json=chat(max_tokens=8000), timeout=30)
            assert answer.status_code == 504
            assert words(answer) == "not done within 0.4 seconds, and given up"
            wait_until(lambda: is_idle(server))

    def test_beyond_the_queue_one_is_told_when_to_come_back(self, server):
        async def crowd():
            async with httpx.AsyncClient(base_url=server.address, timeout=60) as client:
                asked = [client.post(CHAT, json=chat(max_tokens=20)) for _ in range(9)]
                return await asyncio.gather(*asked)

        answers = asyncio.run(crowd())
        busy = [answer for answer in answers if answer.status_code == 429]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert len(busy) <= 5
        assert int(busy[0].headers["retry-after"]) >= 1
        assert busy[0].json()["error"]["type"] == "rate_limit_error"


class TestFailures:
    def test_what_goes_wrong_inside_is_told_in_general_words(self, http, monkeypatch):
        def fail(*_):
            raise RuntimeError("/home/secret/place")

        monkeypatch.setattr("dsocr.server.openai.parse_chat", fail)
        monkeypatch.setattr("dsocr.server.limits._PATIENCE", 1000)  # who has said all is answered at once
        answer = http.post(CHAT, json=chat())
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert words(answer) == "the server failed to read this; its log says more"
        assert HEADERS.items() <= dict(answer.headers).items()

    def test_a_fault_of_the_engine_is_answered_and_costs_nobody_else(self, http, monkeypatch):
        monkeypatch.setattr("dsocr.engine.sequence.Sequence.write", lambda *_: [][0])
        assert http.post(CHAT, json=chat()).status_code == 500
        monkeypatch.undo()
        assert http.post(CHAT, json=chat()).status_code == 200

    @pytest.mark.parametrize("path", ["/v1/chat/completion", "/v1/models/x/y", "/../etc/passwd", "/page/../app.py"])
    def test_what_is_not_here_is_not_found(self, http, path):
        assert http.get(path).status_code == 404

    def test_the_wrong_verb_is_refused(self, http):
        assert http.get(CHAT).status_code == 405


class TestSettings:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"port": -1},
            {"port": 65536},
            {"max_body": 0},
            {"max_pages": 0},
            {"max_pixels": 0},
            {"queue": -1},
            {"seconds": 0},
            {"seconds": float("nan")},
            {"api_keys": ("",)},
            {"cors": ("example.org",)},
        ],
    )
    def test_what_no_server_could_be_started_with_is_a_mistake(self, wrong):
        with pytest.raises(InputError):
            Settings(**wrong).check()

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
    def test_only_loopback_is_local(self, host):
        assert Settings(host=host).is_local
        assert not Settings(host="0.0.0.0").is_local
        assert not Settings(host="example.org").is_local
