"""One HTTP request to a server, answered as JSON or event by event; another thread may break it off at any moment."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dsocr.errors import InputError
from dsocr.pages.urls import Url, parse_url

_DATA = b"data:"
_DONE = b"[DONE]"
_LINE = 2**20  # bytes; an event of one delta has some hundreds
_ANSWER = 2**24  # bytes of JSON
_COMPLAINT = 2**14  # bytes of an error's text that are looked at
_SHOWN = 200  # characters of it that are told
_TOO_MANY, _UNAVAILABLE = 429, 503
_SERVER_FAULTS = 500
_PASSING = (408, 409, 425)  # 4xx that say "not now" rather than "not so"


class Fault(Exception):
    """The server could not answer this time: another one may, or this one later. The message is one line."""


class Busy(Fault):
    """The server has too much to do; `seconds`: when it wants to be asked again, None where it does not say."""

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds


class Refused(Exception):
    """The server will not answer this, however often it is asked. The message is one line."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class BrokenOff(Exception):
    """Nobody wants the answer any more."""


@dataclass(frozen=True)
class Waits:
    """How long a server may take, in seconds: to be connected, to its first word, and from one word to the next."""

    connect: float = 10.0
    first: float = 600.0  # a busy one lets a page wait in its line
    next: float = 120.0


@dataclass(frozen=True)
class Address:
    """Where a server is asked, and with what key: the key is in no message, however it is shown."""

    url: Url
    key: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return str(self.url)

    def under(self, path: str) -> str:
        """The target of a request for what lies below the address, such as /chat/completions."""
        return self.url.target + path

    def beside(self, path: str) -> str:
        """The same for what lies beside /v1, such as /version."""
        return self.url.target.removesuffix("/v1") + path


def parse_address(text: str, key: str | None = None) -> Address:
    """Such as http://host:8000/v1; /v1 may be left out. InputError for what is no address."""
    url = parse_url(text.strip())
    target = url.target.rstrip("/")
    if "?" in target:
        raise InputError(f"{url}: a server's address has no ?; a key is given with DSOCR_ENGINE_KEY")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise InputError(f"the key for {url} has characters that no key has")
    return Address(Url(url.scheme, url.host, url.port, target or "/v1"), key)


class Call:
    """One request on a connection of its own. `break_off` ends it from any thread, also before it has begun."""

    def __init__(self, address: Address, waits: Waits) -> None:
        self._address, self._waits = address, waits
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._broken_off = False

    def break_off(self) -> None:
        """Whoever waits for the answer gets BrokenOff; the server sees the connection end and stops its work."""
        with self._lock:
            self._broken_off = True
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def broken_off(self) -> bool:
        """Whether it was."""
        return self._broken_off

    def json(self, method: str, target: str, body: bytes | None = None) -> Any:
        """The whole answer. Raises Fault, Busy, Refused, and BrokenOff."""
        with self._told(), self._open(method, target, body) as response:
            try:
                return json.loads(response.read(_ANSWER))
            except (ValueError, RecursionError):
                raise Refused(f"{self._address}: what it answers is no JSON", response.status) from None

    def events(self, target: str, body: bytes) -> Generator[Mapping[str, Any], None, None]:
        """The events of a streamed answer as they come, until it says that it is done; the same exceptions.

        An answer that just ends is a Fault: its server died.
        """
        with self._told(), self._open("POST", target, body) as response:
            while line := response.readline(_LINE):
                self._wait_at_most(self._waits.next)
                if not line.endswith(b"\n"):
                    break  # cut off, or longer than any event
                data = line.removeprefix(_DATA).strip() if line.startswith(_DATA) else b""
                if data == _DONE:
                    return
                if data:
                    yield _event(data, self._address)
            raise Fault(f"{self._address}: the answer broke off")

    @contextmanager
    def _open(self, method: str, target: str, body: bytes | None) -> Iterator[http.client.HTTPResponse]:
        """A response that is no error, on a connection that ends with it."""
        connection, response = _connection(self._address.url, self._waits.connect), None
        try:
            connection.connect()
            with self._lock:
                if self._broken_off:
                    raise BrokenOff
                self._socket = connection.sock
            self._wait_at_most(self._waits.first)
            connection.request(method, target, body, _headers(self._address.key, body))
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise _complaint(response, self._address)
            yield response
        finally:
            with self._lock:
                self._socket = None
            if response is not None:
                response.close()
            connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong on the way, as a Fault of one line; as BrokenOff where that is why."""
        try:
            yield
        except (OSError, http.client.HTTPException, Fault) as error:
            if self._broken_off:
                raise BrokenOff from None
            if isinstance(error, Fault):
                raise
            if isinstance(error, ssl.SSLCertVerificationError):
                raise Refused(f"{self._address}: its certificate is not to be trusted", 0) from None
            why = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None)
            raise Fault(f"{self._address}: {why or type(error).__name__}") from None

    def _wait_at_most(self, seconds: float) -> None:
        with self._lock, suppress(OSError):
            if self._socket is not None:
                self._socket.settimeout(seconds)


def _connection(url: Url, seconds: float) -> http.client.HTTPConnection:
    if url.scheme == "https":
        return http.client.HTTPSConnection(url.host, url.port, timeout=seconds, context=_certificates())
    return http.client.HTTPConnection(url.host, url.port, timeout=seconds)


@cache
def _certificates() -> ssl.SSLContext:
    return ssl.create_default_context()


def _headers(key: str | None, body: bytes | None) -> dict[str, str]:
    headers = {"Accept": "application/json, text/event-stream", "User-Agent": "dsocr", "Connection": "close"}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    return headers | ({"Content-Type": "application/json"} if body is not None else {})


def _complaint(response: http.client.HTTPResponse, address: Address) -> Exception:
    """What an answer that is an error means for whoever asked."""
    status = response.status
    message = f"{address}: {status} {_why(response.read(_COMPLAINT), address.key) or response.reason}"
    if status in (_TOO_MANY, _UNAVAILABLE):
        return Busy(message, _seconds(response.headers.get("Retry-After")))
    if status >= _SERVER_FAULTS or status in _PASSING:
        return Fault(message)
    return Refused(message, status)


def _event(data: bytes, address: Address) -> Mapping[str, Any]:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        raise Fault(f"{address}: an event is no JSON") from None
    if not isinstance(event, dict):
        raise Fault(f"{address}: an event is no object")
    if event.get("error"):
        raise Fault(f"{address}: {_why(data, address.key)}")
    return event


def _why(content: bytes, key: str | None) -> str:
    """The server's own words in an error, as they may stand in a line; whatever it says, never our key."""
    try:
        form: Any = json.loads(content)
    except (ValueError, RecursionError):
        form = content.decode("utf-8", "replace")
    for name in ("error", "message", "detail"):
        form = form.get(name) or form if isinstance(form, dict) else form
    words = str(form).replace(key, "…") if key else str(form)
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _seconds(text: str | None) -> float | None:
    """What Retry-After says, where it is a number; a date is as good as nothing."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
