"""A child process opens files as this one would, and takes their crashes upon itself."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from bad_inputs import endless_shade, heic, many_pages, packed_twice, pillow_heif
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsocr.errors import EncryptedError, InputError
from dsocr.pages import BrokenPage, Child, Page, measure_pages, open_pages
from dsocr.pages.apart import _Answer, _to_page
from dsocr.pages.frames import read_frame, write_frame
from dsocr.pages.names import show

PdfMaker = Callable[..., bytes]
LONG = 60  # seconds that no test waits for, save on a machine with no time at all

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="needs limits for processes")


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Child() as child:
        yield child


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def outcomes(data: bytes, child: Child | None, **options: object) -> list[object]:
    """All that can be seen of the pages."""
    return [
        (
            page.source,
            page.number,
            page.size,
            page.dpi,
            page.text,
            page.image.mode,
            page.image.info,
            page.image.tobytes(),
        )
        if isinstance(page, Page)
        else page
        for page in open_pages(data, apart=child or False, **options)  # type: ignore[arg-type]
    ]


def alive(process: int) -> bool:
    """Whether a process is there and is more than a name in a list."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def insert_page(make_pdf: PdfMaker, bad: bytes, count: int = 1) -> bytes:
    """A PDF with pages one and last, and between them the only page of another one, as often as it is said."""
    import pypdfium2 as pdfium

    with closing(pdfium.PdfDocument(make_pdf(["one", "last"]))) as document, closing(pdfium.PdfDocument(bad)) as other:
        for place in range(count):
            document.import_pages(other, [0], index=1 + place)
        buffer = io.BytesIO()
        document.save(buffer)
    return buffer.getvalue()


class TestTheSamePages:
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PDF"])
    def test_a_file_gives_equal_pages_in_a_child_and_here(self, format: str, child: Child) -> None:
        data = encode(noise(), format)
        assert outcomes(data, child) == outcomes(data, None)

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I", "F", "I;16"])
    def test_so_does_every_colour_mode(self, mode: str, child: Child) -> None:
        data = encode(noise().convert("L").convert(mode), "TIFF")
        assert outcomes(data, child) == outcomes(data, None)

    @pytest.mark.skipif(pillow_heif is None, reason="needs pillow-heif")
    def test_so_does_a_photograph_of_a_phone(self, child: Child) -> None:
        assert outcomes(heic(), child) == outcomes(heic(), None)

    def test_text_damage_and_resolution_are_the_same(self, make_pdf: PdfMaker, child: Child) -> None:
        data = make_pdf(["öne ∞", None, "three"])
        assert outcomes(data, child, dpi=100) == outcomes(data, None, dpi=100)
        assert outcomes(data, child, pages="3") == outcomes(data, None, pages="3")

    def test_errors_are_the_same(self, make_pdf: PdfMaker, child: Child) -> None:
        for data in (make_pdf([]), b"", b"text", make_pdf(["secret"], password="x"), encode(noise((4, 4)), "PNG")):
            with pytest.raises(InputError) as here:
                outcomes(data, None)
            with pytest.raises(InputError) as there:
                outcomes(data, child)
            assert (type(here.value), str(here.value)) == (type(there.value), str(there.value))

    def test_a_password_goes_along(self, make_pdf: PdfMaker, child: Child) -> None:
        data = make_pdf(["secret"], password="sesame")
        assert outcomes(data, child, password="sesame") == outcomes(data, None, password="sesame")
        with pytest.raises(EncryptedError):
            outcomes(data, child, password="\udcff")

    def test_sizes_are_the_same(self, make_pdf: PdfMaker, child: Child, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").write_bytes(make_pdf(["one", None]))
        assert measure_pages(tmp_path / "a.pdf", apart=child) == measure_pages(tmp_path / "a.pdf")

    def test_true_starts_a_child_for_one_call(self) -> None:
        data = encode(noise(), "PNG")
        (page,) = open_pages(data, apart=True)
        assert isinstance(page, Page)
        assert page.image.tobytes() == noise().tobytes()


class TestOneProcess:
    def test_serves_many_files_at_once(self, make_pdf: PdfMaker, child: Child) -> None:
        first, second = (open_pages(make_pdf([name, name]), apart=child) for name in "ab")
        numbers = {child.number}
        texts = []
        for _ in range(2):
            texts += [next(first).text, next(second).text]  # type: ignore[union-attr]
            numbers.add(child.number)
        assert texts == ["a", "b", "a", "b"]
        assert len(numbers - {None}) == 1

    def test_may_be_asked_by_several_threads(self, make_pdf: PdfMaker, child: Child) -> None:
        found: list[list[str | None]] = []
        data = make_pdf([str(number) for number in range(5)])

        def read() -> None:
            found.append([page.text for page in open_pages(data, apart=child)])  # type: ignore[union-attr]

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [[str(number) for number in range(5)]] * 3

    def test_gives_a_file_back_that_nobody_reads_to_its_end(self, child: Child) -> None:
        for _ in range(3):
            pages = open_pages(many_pages(50), apart=child)
            next(pages)
            pages.close()  # type: ignore[attr-defined]
        assert len(outcomes(many_pages(3), child)) == 3

    def test_ends_when_it_is_closed(self) -> None:
        with Child() as child:
            outcomes(encode(noise(), "PNG"), child)
            number = child.number
            assert number
            assert alive(number)
        assert not alive(number)
        assert child.number is None

    def test_takes_no_module_from_the_current_folder(self, tmp_path: Path) -> None:
        for name in ("json", "PIL", "signal", "dsocr"):
            (tmp_path / f"{name}.py").write_text(f"open('caught', 'w').write({name!r})")
        inside = tmp_path / "inside"
        inside.mkdir()
        (inside / "read.py").write_text(
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from dsocr.pages import open_pages\n"
            "print(len(list(open_pages(sys.argv[2], apart=True))))"
        )
        (inside / "a.png").write_bytes(encode(noise(), "PNG"))
        house = str(Path(__file__).parents[2])
        command = [sys.executable, inside / "read.py", house, inside / "a.png"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.stdout, (tmp_path / "caught").exists()) == ("1\n", False)


class TestHarm:
    def test_a_crash_costs_a_page_and_not_the_others(self, make_pdf: PdfMaker) -> None:
        with Child(memory=300 * 2**20) as child:
            one, bad, last = open_pages(insert_page(make_pdf, packed_twice()), apart=child)
        assert (one.text, bad.number, last.text) == ("one", 2, "last")  # type: ignore[union-attr]
        assert isinstance(bad, BrokenPage)
        assert "crashed or ran out of memory" in bad.reason

    def test_so_does_a_page_without_end(self, make_pdf: PdfMaker) -> None:
        with Child(seconds=1) as child:
            one, bad, last = open_pages(insert_page(make_pdf, endless_shade()), apart=child)
        assert (one.text, last.text) == ("one", "last")  # type: ignore[union-attr]
        assert bad == BrokenPage("bytes", 2, "not done within 1 seconds, and given up")

    def test_a_file_that_ends_one_child_after_another_is_left(self, make_pdf: PdfMaker) -> None:
        with Child(memory=300 * 2**20) as child:
            pages = list(open_pages(insert_page(make_pdf, packed_twice(), count=4), apart=child))
        reasons = [page.reason for page in pages if isinstance(page, BrokenPage)]
        assert [("crashed" in reason, "not tried" in reason) for reason in reasons] == [(True, False)] * 3 + [
            (False, True)
        ] * 2

    def test_a_page_too_large_for_the_memory_is_refused(self) -> None:
        data = encode(Image.new("L", (9_000, 9_000)), "TIFF", compression="tiff_adobe_deflate")
        with Child(memory=300 * 2**20) as child, pytest.raises(InputError, match="needs more memory than there is"):
            outcomes(data, child)

    def test_a_child_that_is_killed_is_replaced(self, make_pdf: PdfMaker) -> None:
        with Child() as child:
            pages = open_pages(make_pdf(["one", "two"]), apart=child)
            assert next(pages).text == "one"  # type: ignore[union-attr]
            os.kill(child.number or 0, signal.SIGKILL)
            time.sleep(0.5)  # until it is dead: whoever asks before loses a page
            assert next(pages).text == "two"  # type: ignore[union-attr]

    def test_ctrl_c_leaves_nothing_half_said(self, make_pdf: PdfMaker, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(number: int, frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            with Child(seconds=LONG) as child:
                outcomes(encode(noise(), "PNG"), child)
                signal.setitimer(signal.ITIMER_REAL, 0.5)
                with pytest.raises(KeyboardInterrupt):
                    outcomes(endless_shade(), child)
                assert outcomes(make_pdf(["one"]), child)
        finally:
            signal.signal(signal.SIGALRM, before)

    @pytest.mark.parametrize("busy", [False, True])
    def test_a_child_does_not_outlive_its_parent(self, busy: bool, tmp_path: Path) -> None:
        (tmp_path / "endless.pdf").write_bytes(endless_shade())
        (tmp_path / "a.png").write_bytes(encode(noise(), "PNG"))
        program = (
            "import sys, time; from dsocr.pages import Child, open_pages; child = Child()\n"
            "list(open_pages(sys.argv[1], apart=child)); print(child.number, flush=True)\n"
            "list(open_pages(sys.argv[2], apart=child)); time.sleep(1000)"
        )
        files = [tmp_path / "a.png", tmp_path / ("endless.pdf" if busy else "a.png")]
        parent = subprocess.Popen([sys.executable, "-c", program, *files], stdout=subprocess.PIPE)
        assert parent.stdout
        with parent.stdout:
            number = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.kill()
        parent.wait()
        end = time.monotonic() + LONG
        while alive(number) and time.monotonic() < end:
            time.sleep(0.05)
        assert not alive(number)


class TestWhatIsSaid:
    @given(st.binary(max_size=200))
    def test_no_rubbish_is_taken_for_a_message(self, data: bytes) -> None:
        with pytest.raises((EOFError, ValueError)):
            read_frame(io.BytesIO(data)).header["do"]

    def test_a_message_arrives_as_it_was_sent(self) -> None:
        stream = io.BytesIO()
        write_frame(stream, {"name": "ä\udcff", "page": 7}, 5, [b"ab", b"cde"])
        stream.seek(0)
        frame = read_frame(stream)
        assert (frame.header["name"], frame.header["page"], stream.read(frame.length)) == ("ä\udcff", 7, b"abcde")

    @pytest.mark.parametrize(
        "header",
        [
            {},
            {"width": 2, "height": 2, "dpi": None, "text": None},
            {"width": 10**9, "height": 10**9, "dpi": None, "text": None},
            {"width": -1, "height": -1, "dpi": None, "text": None},
            {"width": "1", "height": 1, "dpi": None, "text": None},
            {"width": 1, "height": 1, "dpi": None, "text": 10**9},
        ],
    )
    def test_a_child_that_lies_about_a_page_is_not_believed(self, header: dict[str, object]) -> None:
        with pytest.raises(InputError, match="made to do harm"):
            _to_page(_Answer(header, b"abc"), "a.png", 1)


def test_names_that_cannot_be_seen_can_be_shown() -> None:
    assert show("a\n\x1b[31m\udcff\u202e.png") == "a\\n\\x1b[31m\\udcff\\u202e.png"
