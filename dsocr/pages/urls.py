"""An http or https address as a person writes it, taken apart once, so that no two parts of the house disagree."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin

from dsocr.errors import InputError
from dsocr.pages.names import show, tame

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"[a-z][a-z0-9+.-]+://|(?:https?|ftp|file|data):", re.IGNORECASE)
_PARTS = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]*\]|[^/?#:\[\]]*)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # what some programs take for an address, each in its own way
_AS_THEY_ARE = "%/?:@!$&'()*+,;=~[]"


@dataclass(frozen=True)
class Url:
    """scheme is http or https; host a name or an address, without brackets; target the path with the query."""

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        """The address without its query, which may hold a key that opens the door to anybody."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"

    @property
    def authority(self) -> str:
        """Host and port, as a request names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def name(self) -> str:
        """The last part of the path as a file's name, or the host where there is none."""
        last = unquote(self.target.partition("?")[0].rpartition("/")[2])
        return tame(last if last.strip("/\\. ") else self.host).replace("/", "_")


def is_url(source: object) -> bool:
    """Whether it is text that begins as an address does, of whatever kind; "C:\\page.png" is none."""
    return isinstance(source, str) and _URL.match(source) is not None


def parse_url(text: str) -> Url:
    """The parts of an address; InputError for one that is not http(s), or that could be understood in two ways.

    Refused are a name and password before an @, backslashes, invisible characters, and numbers for a host other than
    an address in its usual form.
    """
    parts = _PARTS.fullmatch(text)
    if not re.match("https?://", text, re.IGNORECASE):
        raise InputError(f"{_brief(text)}: only addresses with http:// or https:// are read")
    if "\\" in text or not text.isprintable():
        raise InputError(f"{_brief(text)}: a backslash or an invisible character is in the address")
    if "@" in text.partition("//")[2].partition("/")[0]:
        raise InputError(f"{_brief(text)}: addresses with a name or a password before an @ are not used; leave it out")
    if parts is None:
        raise InputError(f"{_brief(text)}: not an address; one reads https://host/page.pdf")
    scheme = parts["scheme"].lower()
    port = int(parts["port"] or _PORTS[scheme])
    if not 0 < port < 2**16:
        raise InputError(f"{_brief(text)}: there is no port {port}")
    target = quote((parts["path"] or "/") + (parts["query"] or ""), safe=_AS_THEY_ARE)
    return Url(scheme, _parse_host(parts["host"].lower(), text), port, target)


def name_of_url(text: str) -> str:
    """The name that a file from this address has; one for an address that is none, too."""
    try:
        return parse_url(text).name
    except InputError:
        return tame(_brief(text)).replace("/", "_")


def follow(url: Url, location: str) -> Url:
    """Where a redirect leads; InputError if that is no address to be read, or one that is less safe."""
    if "\\" in location or not location.isprintable():
        raise InputError(f"{url}: leads on to something that is no address")
    there = parse_url(urljoin(f"{url.scheme}://{url.authority}{url.target}", location))
    if url.scheme == "https" and there.scheme != "https":
        raise InputError(f"{url}: leads from https to http, where anybody could change what is sent")
    return there


def _parse_host(host: str, text: str) -> str:
    """A name, or an address in its one usual form."""
    literal = host[1:-1] if host.startswith("[") else host
    try:
        if literal is not host:
            return str(ipaddress.IPv6Address(literal))
        if _NUMBER.fullmatch(host.removesuffix(".")):
            return str(ipaddress.IPv4Address(host))
    except ValueError as error:
        raise InputError(
            f"{_brief(text)}: its host is a number in an unusual form; the usual one is 1.2.3.4"
        ) from error
    if not _NAME.fullmatch(host.removesuffix(".")) or len(host) > 253:
        raise InputError(f"{_brief(text)}: its host is no name; one with letters beyond a-z begins with xn--")
    return host


def _brief(text: str | os.PathLike[str]) -> str:
    """An address as it may stand in a message: without a password and what follows a ?, and not longer than a line."""
    shown = show(re.sub(r"(?<=//)[^/]*@", "…@", str(text).partition("?")[0]))
    return shown if len(shown) <= 100 else f"{shown[:99]}…"
