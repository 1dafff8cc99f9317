"""What it costs to open files in a child process: `python benchmarks/opened_apart.py [--large]`.

Its start with a first page, a page of A4 there and here, and with --large the most address space that it takes for a
page just within the usual limit of pixels, in each form (minutes, 6 GB).
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pypdfium2 as pdfium
from PIL import Image

from dsocr.pages import Child, open_pages

PAGES = 20
SIDE = 13_370  # a square of 178.8 million pixels
A4 = (595, 842)


def pdf(size: tuple[int, int], pages: int) -> bytes:
    buffer = io.BytesIO()
    document = pdfium.PdfDocument.new()
    for _ in range(pages):
        document.new_page(*size)
    document.save(buffer)
    document.close()
    return buffer.getvalue()


def tiff(mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (SIDE, SIDE)).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    return buffer.getvalue()


def milliseconds(work: Callable[[], object], times: int = 9) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def peak(data: bytes) -> str:
    """Address space and memory, as the system counts them."""
    with Child() as child:
        next(open_pages(data, apart=child))
        status = Path(f"/proc/{child.number}/status").read_text()
    figures = [int(status.partition(name)[2].split()[0]) / 2**20 for name in ("VmPeak:", "VmHWM:")]
    return "{:.2f} GiB of address space, {:.2f} GiB of memory".format(*figures)


def main() -> None:
    one, many = pdf(A4, 1), pdf(A4, PAGES)
    print(f"start and first page   {milliseconds(lambda: list(open_pages(one, apart=True))):7.1f} ms")
    with Child() as child:
        there = milliseconds(lambda: list(open_pages(many, apart=child))) / PAGES
    here = milliseconds(lambda: list(open_pages(many))) / PAGES
    print(f"a page of A4, 144 dpi  {there:7.1f} ms in the child, {here:.1f} ms here")
    if "--large" in sys.argv:
        print(f"PDF    {peak(pdf((SIDE // 2, SIDE // 2), 1))}")
        for mode in ("L", "RGB", "RGBA", "CMYK", "I;16"):
            print(f"{mode:6} {peak(tiff(mode))}")


if __name__ == "__main__":
    main()
