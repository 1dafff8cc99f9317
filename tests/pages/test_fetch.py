"""Files from the internet come from where they were asked for, within limits, and from no place inside."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from shutil import which
from typing import Any

import pytest
from bad_inputs import GOOD, zipped
from hypothesis import given
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.pages import open_pages
from dsocr.pages.fetch import Web, fetch
from dsocr.pages.public import is_public
from dsocr.pages.urls import Url, follow, is_url, name_of_url, parse_url

HERE = Web(seconds=60, allow_loopback=True)


class Handler(BaseHTTPRequestHandler):
    """What a host may do, by the path that it is asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        kind, _, rest = self.path.strip("/").partition("/")
        getattr(self, f"give_{kind.partition('?')[0]}", self.give_nothing)(rest)

    def give_page(self, _: str) -> None:
        self.answer(200, GOOD)

    def give_archive(self, _: str) -> None:
        self.answer(200, zipped(("a.png", GOOD)))

    def give_chunks(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(GOOD), 100):
            part = GOOD[start : start + 100]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def give_to(self, rest: str) -> None:
        self.answer(302, b"", Location=rest.replace("%23", "#") if "://" in rest else f"/{rest}")

    def give_around(self, _: str) -> None:
        self.answer(301, b"", Location="/around")

    def give_short(self, _: str) -> None:
        self.answer(200, GOOD, **{"Content-Length": str(len(GOOD) + 1)})
        self.close_connection = True

    def give_huge(self, _: str) -> None:
        self.answer(200, b"x" * 100, **{"Content-Length": str(10**12)})
        self.close_connection = True

    def give_packed(self, _: str) -> None:
        self.answer(200, GOOD, **{"Content-Encoding": "gzip"})

    def give_headers(self, _: str) -> None:
        self.answer(200, GOOD, **{f"X-{number}": "y" for number in range(200)})

    def give_endless(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.pour(b"x" * 65536, 0)

    def give_drops(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.pour(b"x", 0.05)

    def give_slowheader(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.pour(b"y", 0.05)

    def give_silence(self, _: str) -> None:
        time.sleep(5)
        self.close_connection = True

    def give_rubbish(self, _: str) -> None:
        self.wfile.write(b"\x16\x03\x01\x02\x00\x01\x00" * 20)
        self.close_connection = True

    def give_nothing(self, _: str) -> None:
        self.answer(404, b"\x1b[31mgone")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def pour(self, drop: bytes, pause: float) -> None:
        """Until nobody listens."""
        self.close_connection = True
        try:
            while True:
                self.wfile.write(drop)
                self.wfile.flush()
                time.sleep(pause)
        except OSError:
            pass

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with serving() as server:
        yield server


@pytest.fixture
def at(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def refusal(address: str, web: Web | None = None) -> str:
    with pytest.raises(InputError) as caught:
        fetch(address, web)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    return str(caught.value)


class TestFiles:
    @pytest.mark.parametrize("path", ["page", "chunks", "to/page", "to/to/to/to/to/page"])
    def test_a_file_is_fetched(self, path: str, at: str) -> None:
        with fetch(f"{at}/{path}", HERE) as file:
            assert file.read() == GOOD

    def test_a_page_from_an_address_is_named_by_it_and_hides_the_key(self, at: str) -> None:
        (page,) = open_pages(f"{at}/page/letter.png?key=secret", web=HERE)
        assert (page.source, page.number) == (f"{at}/page/letter.png", 1)
        with pytest.raises(InputError) as caught:
            list(open_pages(f"{at}/nothing?key=secret", web=HERE))
        assert "secret" not in str(caught.value)

    def test_an_archive_from_an_address_is_refused(self, at: str) -> None:
        with pytest.raises(InputError, match="only as a file of its own"):
            list(open_pages(f"{at}/archive/a.zip", web=HERE))

    def test_only_what_is_needed_is_said_to_the_host(self, at: str, server: ThreadingHTTPServer) -> None:
        fetch(f"{at}/page?a=1#part", HERE).close()
        path, headers = server.asked[-1]  # type: ignore[attr-defined]
        assert path == "/page?a=1"
        assert headers == {
            "Host": at.removeprefix("http://"),
            "User-Agent": "dsocr",
            "Accept": "application/pdf, image/*, */*;q=0.1",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }

    def test_no_proxy_is_asked(self, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        fetch(f"{at}/page", HERE).close()


class TestLimits:
    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("huge", "larger than the limit of 209,715,200 bytes"),
            ("short", "cut short on its way"),
            ("packed", "sends the file packed"),
            ("around", "leads on and on; 5 redirects"),
            ("nothing", "answers 404 (Not Found)"),
            ("headers", "no connection, or one that breaks off"),
            ("rubbish", "no connection, or one that breaks off"),
        ],
    )
    def test_what_is_wrong_is_told(self, path: str, said: str, at: str) -> None:
        assert said in refusal(f"{at}/{path}", HERE)

    def test_a_body_without_end_is_cut(self, at: str) -> None:
        assert "larger than the limit of 1,000,000 bytes" in refusal(f"{at}/endless", replace(HERE, max_bytes=10**6))

    @pytest.mark.parametrize("path", ["drops", "slowheader", "silence"])
    def test_a_slow_host_is_left(self, path: str, at: str) -> None:
        began = time.monotonic()
        assert "in time" in refusal(f"{at}/{path}", replace(HERE, seconds=0.4))
        assert time.monotonic() - began < 30

    def test_nobody_listens(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            assert "no connection" in refusal(f"http://127.0.0.1:{unused.getsockname()[1]}/a.png", HERE)


class TestGuard:
    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "127.255.0.1", "localhost", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255"),
            *("192.168.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1"),
            *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "203.0.113.5", "168.63.129.16"),
            *("[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[::ffff:127.0.0.1]"),
            *("[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2001::1]", "[2001:db8::1]"),
        ],
    )
    def test_what_is_not_public_is_refused(self, host: str) -> None:
        assert "is not on the public internet" in refusal(f"http://{host}:1/a.png")

    @pytest.mark.parametrize("host", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1"])
    def test_what_is_public_is_not(self, host: str) -> None:
        assert is_public(host)

    def test_tests_may_ask_this_machine_and_nobody_else(self) -> None:
        assert "is not on the public internet" in refusal("http://10.0.0.1/a.png", HERE)

    def test_a_redirect_is_looked_at_like_an_address(self, at: str) -> None:
        for there in ("http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/latest"):
            assert "is not on the public internet" in refusal(f"{at}/to/{there}", HERE)
        for there in ("file:///etc/passwd", "ftp://host/a.png", "gopher://host/"):
            assert "only addresses with http" in refusal(f"{at}/to/{there}", HERE)

    def test_a_name_is_looked_up_once_and_asked_at_what_was_found(
        self, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = iter([[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.server_port))]])
        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: _look_up(real, answers, host, *a, **k))
        fetch(f"http://rebind.example:{server.server_port}/page", HERE).close()
        assert server.asked[-1][1]["Host"] == f"rebind.example:{server.server_port}"  # type: ignore[attr-defined]

    def test_one_private_address_among_public_ones_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("1.1.1.1", "10.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert "is not on the public internet" in refusal("http://mixed.example/a.png")


@pytest.mark.skipif(which("openssl") is None, reason="needs openssl to make a certificate")
class TestCertificates:
    @pytest.fixture(scope="class")
    def safe(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, ssl.SSLContext]]:
        folder = tmp_path_factory.mktemp("certificate")
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        extra = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"]
        subprocess.run([*make.split(), *extra], cwd=folder, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        with serving(context) as server:
            yield server.server_port, ssl.create_default_context(cafile=str(folder / "certificate.pem"))

    def test_a_host_that_proves_who_it_is_is_asked(self, safe: tuple[int, ssl.SSLContext]) -> None:
        port, trust = safe
        with fetch(f"https://localhost:{port}/page", replace(HERE, trust=trust)) as file:
            assert file.read() == GOOD

    def test_the_name_must_be_the_certificates(self, safe: tuple[int, ssl.SSLContext]) -> None:
        port, trust = safe
        web = replace(HERE, trust=trust)
        assert "cannot prove who it is" in refusal(f"https://127.0.0.1:{port}/page", web)

    def test_a_certificate_of_nobodys_is_refused(self, safe: tuple[int, ssl.SSLContext]) -> None:
        assert "cannot prove who it is" in refusal(f"https://localhost:{safe[0]}/page", HERE)

    def test_a_way_from_https_to_http_is_not_followed(self, safe: tuple[int, ssl.SSLContext], at: str) -> None:
        port, trust = safe
        said = refusal(f"https://localhost:{port}/to/{at}/page", replace(HERE, trust=trust))
        assert "from https to http" in said


def test_the_guard_is_on_unless_a_test_says_otherwise() -> None:
    assert not Web().allow_loopback


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("http://host", Url("http", "host", 80, "/")),
            (
                "HTTPS://Host.Example:444/a b/ä.pdf?q=ü#x",
                Url("https", "host.example", 444, "/a%20b/%C3%A4.pdf?q=%C3%BC"),
            ),
            ("http://1.2.3.4/%2e%2e/a", Url("http", "1.2.3.4", 80, "/%2e%2e/a")),
            ("http://[2001:DB8::1]:80/", Url("http", "2001:db8::1", 80, "/")),
            ("http://host.?x", Url("http", "host.", 80, "/?x")),
        ],
    )
    def test_a_sound_one_is_taken_apart(self, text: str, url: Url) -> None:
        assert parse_url(text) == url

    @pytest.mark.parametrize("text", ["http://me:s3cret@host/", "https://s3cret@host:8/a.pdf", "http://a@s3cret@c"])
    def test_a_password_in_an_address_is_not_repeated(self, text):
        with pytest.raises(InputError, match="a password before an @") as refused:
            parse_url(text)
        assert "s3cret" not in str(refused.value)

    @pytest.mark.parametrize(
        "text",
        [
            *("http://127.1/", "http://2130706433/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://0x7f000001/"),
            *(
                "http://1.2.3.4.5/",
                "http://1.2.3/",
                "http://127.0.0.1./",
                "http://host.0x1/",
                "http://\u0661.\u0661.\u0661.\u0661/",
            ),
            *("http:\\\\evil/", "http://good\\@evil/", "http://good\\.evil/", "http:/evil", "http:evil", "http:///a"),
            *("http://user@host/", "http://user:word@host/", "http://a@b@c/", "http://host:1@evil/", "http://@/"),
            *("http://host:0/", "http://host:65536/", "http://host:x/", "http://host:/", "http://ho st/", "http://-a/"),
            *(
                "http://[::1%25eth0]/",
                "http://[::1/",
                "http://::1/",
                "http://[1.2.3.4]/",
                "http://[v1.x]/",
                "http://[]/",
            ),
            *(
                "http://host\n/",
                "http://host/\r\nX: y",
                "http://ho\0st/",
                "http://ho\u017ft/",
                "http://xn--/",
                "http://a..b/",
            ),
            *(
                "file:///etc/passwd",
                "ftp://host/a",
                "data:image/png;base64,AAAA",
                "javascript://x",
                "http://" + "a" * 300,
            ),
        ],
    )
    def test_an_odd_one_is_refused_in_one_line(self, text: str) -> None:
        assert is_url(text)
        message = refusal(text)
        assert message.isprintable()
        assert len(message) < 400

    @pytest.mark.parametrize("text", ["a.pdf", "C:\\a.pdf", "c:/a.pdf", "http/a.pdf", "-", "a:b.pdf", "./http://x"])
    def test_a_file_is_none(self, text: str) -> None:
        assert not is_url(text)

    @given(st.text(max_size=60))
    def test_no_text_raises_anything_but_an_input_error(self, text: str) -> None:
        for address in (text, f"http://{text}", f"https://host/{text}"):
            try:
                url = parse_url(address)
            except InputError:
                continue
            assert url.target.isascii()
            assert not set(url.target + url.host) & set(" \r\n\t\\")
            assert name_of_url(address)

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("http://host/a/b.pdf?x=/c.png", "b.pdf"),
            ("http://host/a%2F..%2Fb.pdf", "a_b.pdf"),
            ("http://host/%00%0a.pdf", "_x00_n.pdf"),
            ("http://host/a/", "host"),
            ("http://host/..", "host"),
            ("http://[::1]/", "__1"),
        ],
    )
    def test_a_file_has_the_name_of_its_address(self, text: str, name: str) -> None:
        assert name_of_url(text) == name

    def test_a_redirect_starts_from_where_it_is(self) -> None:
        here = parse_url("https://host:8/a/b?c")
        assert str(follow(here, "d")) == "https://host:8/a/d"
        assert str(follow(here, "//other/d")) == "https://other/d"
        assert follow(here, "?e").target == "/a/b?e"


def _look_up(real: Any, answers: Any, host: str, *rest: Any, **options: Any) -> Any:
    """An answer for the one name, once; a second question for it fails the test."""
    return next(answers) if host == "rebind.example" else real(host, *rest, **options)
