"""Fetches a file from the internet, and from nowhere else: the address that was checked is the one that is asked."""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
import tempfile
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import Any, BinaryIO, cast

from dsocr.errors import InputError
from dsocr.pages.public import is_public
from dsocr.pages.urls import Url, follow, parse_url

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BLOCK = 2**16
_PATIENCE = 10.0  # seconds for one of a host's addresses to answer at all


@dataclass(frozen=True)
class Web:
    """How many bytes are fetched at most, in how many seconds with all redirects, and how many of those there may be.

    allow_loopback is for tests: a server on this very machine may be asked. trust is for certificates of one's own;
    without it, those hold that this machine trusts.
    """

    max_bytes: int = 200 * 2**20
    seconds: float = 120.0
    redirects: int = 5
    allow_loopback: bool = False
    trust: ssl.SSLContext | None = None


def fetch(address: str, web: Web | None = None) -> BinaryIO:
    """The file at an http or https address, without a name here; InputError if it is not public, or not to be had.

    No proxy is asked: what the environment says of them is not looked at.
    """
    web = web or Web()
    deadline, url = time.monotonic() + web.seconds, parse_url(address)
    for _ in range(web.redirects + 1):
        file = _visit(url, web, deadline)
        if not isinstance(file, str):
            return file
        url = follow(url, file)
    raise InputError(f"{url}: leads on and on; {web.redirects} redirects are the limit")


def _visit(url: Url, web: Web, deadline: float) -> BinaryIO | str:
    """What is there: a file, or the way to another place."""
    try:
        with _connect(url, web, deadline) as connection, _ask(url, connection, deadline) as response:
            if response.status in _REDIRECTS:
                return response.headers.get("Location", "")
            return _save(url, response, web.max_bytes)
    except InputError:
        raise
    except TimeoutError as error:
        raise InputError(f"{url}: no answer, or not all of it, in time") from error
    except ssl.SSLError as error:
        raise InputError(f"{url}: its host cannot prove who it is, or speaks no TLS") from error
    except (OSError, HTTPException, ValueError) as error:
        raise InputError(f"{url}: no connection, or one that breaks off") from error


def _connect(url: Url, web: Web, deadline: float) -> socket.socket:
    """A connection to an address that was checked. No name is looked up twice: a second answer might be another."""
    *others, last = _addresses(url, web)
    for address in others:
        try:
            return _connect_to(address, url, web, deadline)
        except OSError:  # A host has several addresses so that one may fail.
            continue
    return _connect_to(last, url, web, deadline)


def _connect_to(address: str, url: Url, web: Web, deadline: float) -> socket.socket:
    connection = socket.create_connection((address, url.port), min(_PATIENCE, _left(deadline)))
    if url.scheme == "http":
        return connection
    try:
        trust = web.trust or ssl.create_default_context()
        connection.settimeout(_left(deadline))
        return trust.wrap_socket(connection, server_hostname=url.host.removesuffix("."))
    except BaseException:
        connection.close()
        raise


def _addresses(url: Url, web: Web) -> list[str]:
    """Where the host is, by number; InputError if any of its addresses is not public."""
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{url}: there is no host of that name, or no network") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        tested = web.allow_loopback and ipaddress.ip_address(address).is_loopback
        if not tested and not is_public(address):
            raise InputError(f"{url}: its host is not on the public internet; save the file and name that")
    return addresses


def _ask(url: Url, connection: socket.socket, deadline: float) -> HTTPResponse:
    lines = (
        f"GET {url.target} HTTP/1.1",
        f"Host: {url.authority}",
        "User-Agent: dsocr",
        "Accept: application/pdf, image/*, */*;q=0.1",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    connection.settimeout(_left(deadline))
    connection.sendall("\r\n".join((*lines, "", "")).encode("ascii"))
    response = HTTPResponse(cast(Any, _Answer(connection, deadline)), method="GET")
    response.begin()  # The library bounds the number of headers, to 100, and their length.
    return response


def _save(url: Url, response: HTTPResponse, most: int) -> BinaryIO:
    """The answer's body in a file without a name, which is gone when it is closed."""
    if response.status != HTTPStatus.OK:
        known = {status.value: f" ({status.phrase})" for status in HTTPStatus}
        raise InputError(f"{url}: its host answers {response.status}{known.get(response.status, '')}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise InputError(f"{url}: its host sends the file packed, which was not asked for")
    announced = response.length
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    try:
        while data := response.read(_BLOCK):
            if file.tell() + len(data) > most or (announced or 0) > most:
                raise InputError(f"{url}: larger than the limit of {most:,} bytes; save the file and name that")
            file.write(data)
        if announced is not None and file.tell() < announced:
            raise InputError(f"{url}: cut short on its way; try again")
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


class _Answer(io.RawIOBase):
    """What a connection still brings before the time is up, in the form that the library takes it."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, _BLOCK)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # A host that sends a byte now and then never lets a single wait grow long.
        self._connection.settimeout(_left(self._deadline))
        return self._connection.recv_into(buffer)


def _left(deadline: float) -> float:
    """Seconds; TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
