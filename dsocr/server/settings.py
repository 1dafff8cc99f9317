"""What whoever starts the server can choose, and what no request can."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from dsocr.errors import InputError
from dsocr.pages import DEFAULT_MAX_PIXELS
from dsocr.pages.fetch import Web

_FETCH_SECONDS = 60.0


@dataclass(frozen=True)
class Settings:
    """model: what the reader is called. api_keys: any of them opens the door; without one, no key is asked for.

    allow_urls: whether files are fetched from the public internet for those who ask. cors: origins, such as
    https://example.org, whose pages may ask from a browser. queue: requests that may wait beside those that are
    read. max_body: bytes of one request; all bodies together may have four times as many. max_pages: of a document;
    max_pixels: of a page. body_seconds: for a body to arrive; seconds: for a whole answer.
    """

    model: str = "nano"
    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    allow_urls: bool = False
    cors: tuple[str, ...] = ()
    queue: int = 64
    max_body: int = 100 * 2**20
    max_pages: int = 1000
    max_pixels: int = DEFAULT_MAX_PIXELS
    body_seconds: float = 120.0
    seconds: float = 3600.0

    def check(self) -> None:
        """InputError for what no server could be started with."""
        if not 0 <= self.port < 2**16:
            raise InputError(f"port is {self.port}; it must be from 0 to 65535")
        for name, value in (
            ("max-body", self.max_body),
            ("max-pages", self.max_pages),
            ("max-pixels", self.max_pixels),
        ):
            if value < 1:
                raise InputError(f"{name} is {value}; it must be 1 or more")
        if self.queue < 0:
            raise InputError(f"queue is {self.queue}; it must be 0 or more")
        if not self.seconds > 0:
            raise InputError(f"timeout is {self.seconds:g}; it must be above 0")
        if not all(self.api_keys):
            raise InputError("api-key is empty; leave it out where none is to be asked for")
        for origin in self.cors:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise InputError(f"cors {origin!r} is no origin; one reads https://example.org, and * allows all")

    @property
    def web(self) -> Web | None:
        """The limits of what is fetched; None where nothing is."""
        return Web(max_bytes=self.max_body, seconds=_FETCH_SECONDS) if self.allow_urls else None

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
