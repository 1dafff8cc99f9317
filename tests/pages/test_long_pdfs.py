"""A long PDF is opened anew now and then, so that its memory stays that of a short one; no page notices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsocr.errors import InputError
from dsocr.pages import open_pages, pdf


def test_every_page_is_itself_whenever_the_file_is_opened_anew(make_pdf, monkeypatch):
    opened: list[object] = []
    really_open = pdf._open
    monkeypatch.setattr(pdf, "_open", lambda *given: opened.append(given) or really_open(*given))
    texts = [f"page {number}" for number in range(1, 101)]
    assert [page.text for page in open_pages(make_pdf(texts, password="x"), password="x")] == texts
    assert len(opened) == 1 + 100 // pdf._PAGES_AN_OPENING


def test_a_file_that_cannot_be_opened_anew_is_read_on_as_it_is(make_pdf, monkeypatch):
    texts = [f"page {number}" for number in range(1, 71)]
    pages = open_pages(make_pdf(texts))
    first = next(pages).text

    def fail(*_):
        raise InputError("the file is gone")

    monkeypatch.setattr(pdf, "_open", fail)
    assert [first, *(page.text for page in pages)] == texts


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is not told")
def test_what_was_read_of_earlier_pages_is_let_go(tmp_path):
    (tmp_path / "a.pdf").write_bytes(scans(count=160, size=(500, 400)))
    # In a process of its own: this one has room that it may fill unnoticed.
    script = (
        "import sys; from pathlib import Path; from dsocr.pages import open_pages\n"
        "def resident(): return int(Path('/proc/self/statm').read_text().split()[1]) * 4096\n"
        "pages = open_pages(sys.argv[1], dpi=36); next(pages); start = resident()\n"
        "print(max(resident() - start for page in pages) / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.pdf")], capture_output=True, check=True)
    assert float(done.stdout) < 15  # of 30 MiB of pictures in the file


def scans(count: int, size: tuple[int, int]) -> bytes:
    """A PDF of pictures that nothing can compress."""
    parts, offsets = [b"%PDF-1.4\n"], list[int]()

    def put(content: bytes) -> None:
        offsets.append(sum(map(len, parts)))
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (len(offsets), content))

    put(b"<</Type/Catalog/Pages 2 0 R>>")
    put(b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(b"%d 0 R" % (3 + 3 * n) for n in range(count)), count))
    for number in range(count):
        page = 3 + 3 * number
        put(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 160]/Resources<</XObject<</P %d 0 R>>>>/Contents %d 0 R>>"
            % (page + 2, page + 1)
        )
        put(b"<</Length 29>>stream\n200 0 0 160 0 0 cm /P Do     \nendstream")
        pixels = os.urandom(size[0] * size[1])
        put(
            b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8/Length %d>>"
            b"stream\n%s\nendstream" % (*size, len(pixels), pixels)
        )
    table = sum(map(len, parts))
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n"
    return b"".join(parts) + end % (len(offsets) + 1, rows, len(offsets) + 1, table)
