"""docling-serve's own client, pointed at a server of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_pages import inked

import dsocr

client_module = pytest.importorskip("docling.service_client", reason="needs docling-client")

PAGE = (
    "<|ref|>title<|/ref|><|det|>[[100, 100, 500, 200]]<|/det|>\n# The Tides\n\n"
    "<|ref|>image<|/ref|><|det|>[[0, 200, 499, 499]]<|/det|>\n\n"
    "<|ref|>table<|/ref|><|det|>[[0, 500, 999, 800]]<|/det|>\n"
    "<table><tr><th>Month</th><th>Metres</th></tr><tr><td>May</td><td>5.77</td></tr></table>"
)


@pytest.fixture
def client(address):
    with client_module.DoclingServiceClient(url=address) as client:
        yield client


@pytest.fixture
def picture(tmp_path) -> Path:
    inked((200, 100)).save(tmp_path / "tides.png")
    return tmp_path / "tides.png"


def test_a_file_comes_back_as_a_document(client, says, picture):
    says(PAGE)
    result = client.convert(picture)
    assert result.status.value == "success"
    assert result.document.texts[0].text == "The Tides"
    assert result.document.tables[0].data.grid[1][1].text == "5.77"
    assert result.document.pictures[0].image.pil_image.size == (99, 29)
    assert result.document.export_to_markdown().startswith("# The Tides\n\n")


def test_several_files_come_back_in_order(client, says, picture):
    says("# One")
    results = list(client.convert_all([picture, picture]))
    assert [result.document.texts[0].text for result in results] == ["One", "One"]


def test_a_file_that_is_none_is_an_error_in_words(client, tmp_path):
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(client_module.DoclingServiceClientError, match=r"broken\.pdf"):
        client.convert(tmp_path / "broken.pdf")


def test_it_is_healthy_and_says_which_version_it_is(client):
    assert client.health().status == "ok"
    assert client.version() == {"version": dsocr.__version__}
