"""Peak memory of `dsocr read` on PDFs of 200 and of 3,000 pages: `python benchmarks/flat_memory.py [PAGES ...]`.

Each PDF is written here, pages of A4 with one short line; with --scans, every page is a picture of some 200 KB.
Each is read in a process of its own, in mode tiny and with two tokens a page, so that the run is about memory alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from PIL import Image, ImageDraw

A4 = (595, 842)
SCAN = (827, 1169)  # A4 at 100 dpi
GRAIN = (827, 250)
COMMAND = ["read", "--model", "nano", "--mode", "tiny", "--max-tokens", "2", "--no-cache", "--quiet"]


def write_pdf(path: Path, pages: int, scans: bool) -> None:
    with open(path, "wb") as file:
        offsets: dict[int, int] = {}

        def put(number: int, content: bytes) -> None:
            offsets[number] = file.tell()
            file.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))

        file.write(b"%PDF-1.4\n")
        kids = b" ".join(b"%d 0 R" % (4 + 3 * place) for place in range(pages))
        put(1, b"<</Type/Catalog/Pages 2 0 R>>")
        put(2, b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, pages))
        put(3, b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
        for place in range(pages):
            number = 4 + 3 * place
            font = b"/Font<</F 3 0 R>>"
            picture = b"/XObject<</P %d 0 R>>" % (number + 2)
            head = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]" % A4
            put(number, head + b"/Resources<<%s>>/Contents %d 0 R>>" % (picture if scans else font, number + 1))
            line = b"%d 0 0 %d 0 0 cm /P Do" % A4 if scans else b"BT /F 18 Tf 60 700 Td (Page %d) Tj ET" % (place + 1)
            put(number + 1, b"<</Length %d>>stream\n%s\nendstream" % (len(line), line))
            if scans:
                put(number + 2, _picture(place + 1))
        table = file.tell()
        rows = b"".join(b"%d 1\n%010d 00000 n \n" % row for row in sorted(offsets.items()))
        file.write(b"xref\n0 1\n0000000000 65535 f \n%s" % rows)
        file.write(b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (max(offsets) + 1, table))


def _picture(number: int) -> bytes:
    page = Image.new("L", SCAN, "white")
    ImageDraw.Draw(page).text((80, 80), f"Page {number}", fill="black", font_size=30)
    # Nothing can compress this, as little can compress the grain of paper.
    page.paste(Image.frombytes("L", GRAIN, os.urandom(GRAIN[0] * GRAIN[1])), (0, SCAN[1] - GRAIN[1]))
    content = zlib.compress(page.tobytes())
    head = b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8" % SCAN
    return head + b"/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(content), content)


def peak(pdf: Path, out: Path) -> tuple[float, float]:
    """Most bytes that the run had in memory, in MiB, and its seconds."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "dsocr", *COMMAND, str(pdf), "-o", str(out)])
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 10), code
    kib = usage.ru_maxrss / 1024 if sys.platform == "darwin" else usage.ru_maxrss
    return kib / 1024, time.perf_counter() - began


def main() -> None:
    scans = "--scans" in sys.argv
    counts = [int(word) for word in sys.argv[1:] if word.isdigit()] or [200, 3000]
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            pdf = Path(folder) / f"{count}.pdf"
            write_pdf(pdf, count, scans)
            most, seconds = peak(pdf, Path(folder) / f"out {count}")
            lines = (Path(folder) / f"out {count}" / "manifest.jsonl").read_text().count("\n")
            print(f"{count:5} pages, {lines:5} in the manifest: peak {most:6.0f} MiB, {seconds:5.0f} s", flush=True)


if __name__ == "__main__":
    main()
