"""What tests of the documents' dialects share: a server with a reader that writes what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

pytest.importorskip("fastapi", reason="needs dsocr[serve]")
from dictated import DictatedEngine
from running import running

import dsocr
from dsocr.ocr import OCR
from dsocr.server.opener import OpenFile


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch) -> None:
    """Nothing here is encrypted, and to load the certificates of the world takes a client longer than to ask."""
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", lambda *_, **__: None)


@pytest.fixture(scope="session")
def reader(checkpoint) -> OCR:
    return dsocr.load(checkpoint)


@pytest.fixture(scope="session")
def engine(reader) -> Iterator[DictatedEngine]:
    """One for all tests: `says` sets what it writes."""
    engine = DictatedEngine()
    reader.__dict__["engine"] = engine
    yield engine
    del reader.__dict__["engine"]


@pytest.fixture
def says(engine):
    """`says("# Hello", letters=5)`: what is written about every page from now on, and how many letters at once.

    until: after so many it waits for `engine.go_on()`.
    """

    def says(
        text: str | Exception, letters: int = 10_000, until: int | None = None, finish_reason: str = "stop"
    ) -> None:
        engine.text, engine.letters, engine.until, engine.finish_reason = text, letters, until, finish_reason

    yield says
    engine.go_on()


@pytest.fixture
def slow_to_draw(monkeypatch):
    """`slow_to_draw(1)`: that page of every document takes longer than the others."""

    def slow_to_draw(slow: int) -> None:
        draw = OpenFile.page

        async def page(file, number):
            if number == slow:
                await asyncio.sleep(0.5)
            return await draw(file, number)

        monkeypatch.setattr(OpenFile, "page", page)

    return slow_to_draw


@pytest.fixture(scope="session")
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def address(reader, engine, servers) -> str:
    """Of a server without a key."""
    return servers.enter_context(running(reader)).address


@pytest.fixture(scope="session")
def locked(reader, engine, servers) -> str:
    """Of a server whose key is `secret`."""
    return servers.enter_context(running(reader, api_keys=("secret",))).address


@pytest.fixture
def http(address):
    with httpx.Client(base_url=address, timeout=30) as client:
        yield client
