"""Where a document's bytes come from, and what its figures are called."""

from __future__ import annotations

import asyncio

import pytest

from dsocr.errors import InputError
from dsocr.pages.fetch import Web
from dsocr.server.told import Busy, OutOfTime, ReaderFailed, ServerEnds
from dsocr.server.whole import called, file_at, read_data_url, refusal_of, relink

SECRET = RuntimeError("/home/somebody/secret")


@pytest.mark.parametrize(
    ("address", "content"),
    [
        ("data:application/pdf;base64,aGVsbG8=", b"hello"),
        ("data:;base64,aGVs\nbG8=", b"hello"),
        ("DATA:text/plain;charset=utf-8;BASE64,aGVsbG8=", b"hello"),
        ("data:,he%6clo", b"hello"),
    ],
)
def test_a_data_url_holds_the_file(address, content):
    assert read_data_url(address) == content


def test_an_address_is_followed_only_where_the_server_allows_it(address):
    page = f"{address}/page/icon.svg"
    file = asyncio.run(file_at(page, Web(allow_loopback=True)))
    assert (file.name, file.content[:4]) == ("icon.svg", b"<svg")
    with pytest.raises(InputError, match="data: URLs only"):
        asyncio.run(file_at(page, None))
    with pytest.raises(InputError, match="not on the public internet"):
        asyncio.run(file_at(page, Web()))
    with pytest.raises(InputError, match=r"data: and http\(s\) URLs only"):
        asyncio.run(file_at("file:///etc/passwd", Web()))


@pytest.mark.parametrize(
    ("name", "shown"), [("../../a/b.pdf", "b.pdf"), ("C:\\x\\y.png", "y.png"), ("", "document"), (None, "document")]
)
def test_a_strangers_name_leads_nowhere(name, shown):
    assert called(name) == shown


def test_only_links_to_figures_that_there_are_change():
    markdown = "![](1_0.jpg) ![](9_9.jpg) ![](../1_0.jpg)"
    assert relink(markdown, ["1_0.jpg"], lambda name: f"<{name}>") == "<1_0.jpg> ![](9_9.jpg) ![](../1_0.jpg)"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("no"), 400),
        (Busy(7), 429),
        (OutOfTime(5), 504),
        (ReaderFailed(), 500),
        (ServerEnds(), 503),
        (SECRET, 500),
    ],
)
def test_every_error_has_a_status_and_words_that_keep_secrets(error, status):
    refusal = refusal_of(error)
    assert refusal.status == status
    assert "secret" not in refusal.words
    assert refusal.headers == ({"Retry-After": "7"} if status == 429 else {})
