"""Every kind of file that people have, sound and damaged."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsocr.errors import EncryptedError, FileAccessError, InputError
from dsocr.pages import DEFAULT_MAX_PIXELS, BrokenPage, Page, find_inputs, open_pages

PdfMaker = Callable[..., bytes]
COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
# How a camera stores an upright picture under each orientation number.
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def plain(size: tuple[int, int] = (40, 30), colour: Any = (200, 0, 0), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def noise(size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def only(source: Any, **options: Any) -> Page:
    (page,) = open_pages(source, **options)
    assert isinstance(page, Page)
    return page


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        list(open_pages(source, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestPictures:
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
    def test_a_format_is_known_by_its_content_whatever_the_name(self, format: str, tmp_path: Path) -> None:
        path = tmp_path / "scan.pdf"
        path.write_bytes(encode(plain(), format))
        page = only(path)
        assert (page.source, page.number, page.size, page.image.mode) == (str(path), 1, (40, 30), "RGB")
        assert np.abs(np.asarray(page.image).astype(int) - (200, 0, 0)).max() < 12

    def test_every_page_of_a_tiff_is_a_page(self) -> None:
        frames = [plain(colour=colour) for colour in COLOURS]
        pages = list(open_pages(encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])))
        assert [page.number for page in pages] == [1, 2, 3]
        assert [page.image.getpixel((5, 5)) for page in pages] == COLOURS

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
    def test_every_frame_of_an_animation_is_a_page(self, format: str) -> None:
        frames = [plain(colour=colour) for colour in COLOURS]
        data = encode(frames[0], format, save_all=True, append_images=frames[1:], duration=100)
        assert [page.number for page in open_pages(data)] == [1, 2, 3]
        third = only(data, pages="3")
        assert third.number == 3
        assert np.abs(np.subtract(third.image.getpixel((5, 5)), COLOURS[2])).max() < 12

    def test_a_phone_picture_with_a_second_picture_inside_is_one_page(self) -> None:
        data = encode(plain(), "MPO", save_all=True, append_images=[plain((20, 20))])
        assert only(data).size == (40, 30)

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_a_picture_stands_upright(self, orientation: int, format: str) -> None:
        upright = plain((40, 24), (250, 250, 250))
        upright.paste((10, 10, 10), (0, 0, 20, 12))
        stored = upright.transpose(TURNED[orientation]) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        page = only(encode(stored, format, exif=exif))
        corners = [page.image.getpixel(place)[0] < 128 for place in ((3, 3), (36, 3), (3, 20), (36, 20))]
        assert page.size == (40, 24)
        assert corners == [True, False, False, False]

    @pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
    def test_a_damaged_exif_block_does_not_cost_the_page(self) -> None:
        data = encode(plain(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
        assert only(data).size == (40, 30)

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
    @pytest.mark.parametrize("level", [0, 255])
    def test_black_stays_black_and_white_white_in_every_colour_mode(self, mode: str, level: int) -> None:
        page = only(encode(plain(colour=level, mode="L").convert(mode), "TIFF"))
        assert page.image.getpixel((5, 5)) == (level,) * 3

    @pytest.mark.parametrize(
        ("kind", "white"), [(np.uint16, 65535), (np.int32, 255), (np.int32, 65535), (np.float32, 1)]
    )
    def test_white_is_white_in_deep_greys(self, kind: Any, white: int) -> None:
        greys = np.zeros((16, 16), dtype=kind)
        greys[8:] = white
        page = only(encode(Image.fromarray(greys), "TIFF"))
        assert [page.image.getpixel((5, y)) for y in (5, 10)] == [(0, 0, 0), (255, 255, 255)]

    def test_numbers_that_are_no_shade_do_not_spoil_the_page(self) -> None:
        greys = np.full((16, 16), 0.5, dtype=np.float32)
        greys[0, :3] = (float("nan"), float("inf"), -9)
        page = only(encode(Image.fromarray(greys), "TIFF"))
        assert np.asarray(page.image)[0, :4, 0].tolist() == [0, 0, 0, 128]

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_sixteen_bit_greys_keep_their_shades(self, format: str) -> None:
        greys = np.repeat(np.arange(0, 256, 4, dtype=np.uint16)[None] * 257, 16, axis=0)
        page = only(encode(Image.fromarray(greys), format))
        assert np.asarray(page.image)[0, :, 0].tolist() == list(range(0, 256, 4))

    def test_alpha_is_dropped_and_not_blended(self) -> None:
        page = only(encode(plain(colour=(10, 20, 30, 0), mode="RGBA"), "PNG"))
        assert page.image.getpixel((0, 0)) == (10, 20, 30)
        assert page.image.info == {}

    @pytest.mark.parametrize(("ink", "paper"), [(0, 255), (100, 255), (255, 0)])
    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_what_is_drawn_in_alpha_alone_lies_on_paper_of_another_shade(self, mode: str, ink: int, paper: int) -> None:
        drawing = plain(colour=(ink, 0), mode="LA")
        drawing.paste((ink, 255), (10, 10, 20, 20))
        page = only(encode(drawing.convert(mode), "PNG"))
        assert page.image.getpixel((15, 15)) == (ink, ink, ink)
        assert page.image.getpixel((0, 0)) == (paper, paper, paper)

    def test_a_picture_tells_its_resolution_or_none(self) -> None:
        assert round(only(encode(plain(), "JPEG", dpi=(300, 300))).dpi or 0) == 300
        assert only(encode(plain(), "PNG")).dpi is None

    @pytest.mark.parametrize("missing", [50, 150, 5000, 9000])
    def test_the_pages_before_a_cut_in_a_tiff_are_read(self, missing: int) -> None:
        data = encode(noise(), "TIFF", save_all=True, append_images=[noise(), noise((60, 50))])
        pages = list(open_pages(data[:-missing]))
        assert [type(page) for page in pages] == [Page, Page, BrokenPage]

    def test_a_cut_picture_is_an_error_and_not_half_grey(self) -> None:
        for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"):
            data = encode(noise(), format)
            assert "damaged or cut short" in refusal(data[: len(data) * 2 // 3]), format

    def test_a_bad_page_of_a_tiff_keeps_its_number_and_the_others(self) -> None:
        data = encode(
            noise(), "TIFF", save_all=True, append_images=[noise(), noise()], compression="tiff_adobe_deflate"
        )
        first, second, third = open_pages(_with_a_bad_second_page(data))
        assert (first.number, second.number, third.number) == (1, 2, 3)
        assert isinstance(first, Page)
        assert isinstance(second, BrokenPage)
        assert isinstance(third, Page)
        assert "damaged" in second.reason

    @pytest.mark.parametrize("size", [(1, 1), (7, 500), (500, 7)])
    def test_a_speck_is_too_small_to_read(self, size: tuple[int, int]) -> None:
        message = refusal(encode(plain(size), "PNG"))
        assert f"{size[0]} x {size[1]} pixels is too small" in message
        assert "at least 8 pixels" in message


class TestPhones:
    def test_a_heic_picture_without_its_package_says_how_to_get_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        assert "pip install 'dsocr[heic]'" in refusal(b"\0\0\0\x18ftypheic" + bytes(100))

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_heic_picture_stands_upright(self, orientation: int) -> None:
        heif = pytest.importorskip("pillow_heif")
        upright = plain((64, 48), (250, 250, 250))
        upright.paste((10, 10, 10), (0, 0, 32, 24))
        stored = upright.transpose(TURNED[orientation]) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        heif.from_pillow(stored).save(buffer, exif=exif.tobytes(), quality=95)
        page = only(buffer.getvalue())
        corners = [page.image.getpixel(place)[0] < 128 for place in ((5, 5), (58, 5), (5, 42), (58, 42))]
        assert (page.size, corners) == ((64, 48), [True, False, False, False])

    def test_every_picture_of_a_heic_file_is_a_page(self) -> None:
        heif = pytest.importorskip("pillow_heif")
        file = heif.from_pillow(plain((64, 48), COLOURS[0]))
        file.add_from_pillow(plain((32, 40), COLOURS[1]))
        buffer = io.BytesIO()
        file.save(buffer)
        assert [page.size for page in open_pages(buffer.getvalue())] == [(64, 48), (32, 40)]
        large, small = open_pages(buffer.getvalue(), max_pixels=2000)
        assert isinstance(large, BrokenPage)
        assert isinstance(small, Page)


class TestTheSizeLimit:
    def test_it_is_asked_before_decoding_and_names_its_flag(self) -> None:
        bomb = bytearray(encode(plain(), "BMP"))
        bomb[18:26] = struct.pack("<ii", 20_000, 20_000)  # the size in a BMP's header
        message = refusal(bytes(bomb))
        assert "20,000 x 20,000 pixels is more than the limit of 178,956,970" in message
        assert "--max-pixels" in message

    def test_it_can_be_lowered(self) -> None:
        assert "limit of 1,000 pixels" in refusal(encode(plain(), "PNG"), max_pixels=1000)
        assert only(encode(plain(), "PNG"), max_pixels=1200).size == (40, 30)

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "TIFF"])
    def test_it_can_be_raised_above_pillows_own(self, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        assert only(encode(plain(), format), max_pixels=DEFAULT_MAX_PIXELS + 1).size == (40, 30)
        assert Image.MAX_IMAGE_PIXELS == 100

    def test_pillows_own_limit_is_left_as_it_was(self) -> None:
        before = Image.MAX_IMAGE_PIXELS
        refusal(encode(noise(), "PNG")[:900], max_pixels=10**10)
        assert before == Image.MAX_IMAGE_PIXELS

    def test_one_large_page_of_a_tiff_does_not_cost_the_others(self) -> None:
        data = encode(plain((90, 90)), "TIFF", save_all=True, append_images=[plain()])
        large, small = open_pages(data, max_pixels=2000)
        assert isinstance(large, BrokenPage)
        assert isinstance(small, Page)
        assert "--max-pixels" in large.reason

    def test_a_pdf_page_is_asked_at_the_resolution_it_would_be_drawn(self, make_pdf: PdfMaker) -> None:
        data = make_pdf(["big"], size=(14_400, 14_400))
        assert "28,800 x 28,800 pixels" in refusal(data)
        assert "drawn at 144 dpi: lower --dpi, or raise --max-pixels" in refusal(data)
        assert only(data, dpi=9).size == (1800, 1800)


class TestPdf:
    def test_pages_are_drawn_at_two_pixels_a_point(self, make_pdf: PdfMaker) -> None:
        first, second = open_pages(make_pdf(["Hello", "World"]))
        assert (first.size, first.dpi, first.text, first.number) == ((400, 200), 144, "Hello", 1)
        assert (second.text, second.number) == ("World", 2)
        assert (first.image.mode, first.image.getpixel((0, 0))) == ("RGB", (255, 255, 255))
        assert min(first.image.convert("L").tobytes()) < 60

    def test_a_page_drawn_at_another_resolution(self, make_pdf: PdfMaker) -> None:
        page = only(make_pdf(["Hello"]), dpi=72)
        assert (page.size, page.dpi) == ((200, 100), 72)

    def test_a_page_without_a_text_layer_has_none(self) -> None:
        page = only(encode(plain((300, 300)), "PDF"))
        assert page.text is None

    def test_a_scan_that_cannot_be_decoded_is_no_empty_page(self) -> None:
        scans = encode(noise(), "PDF", save_all=True, append_images=[plain(colour="white"), noise((50, 60))])
        last = scans.rindex(b"\xff\xd8\xff")
        pages = list(open_pages(scans[:last] + bytes(2000) + scans[last + 2000 :]))
        assert [isinstance(page, Page) for page in pages] == [True, True, False]
        assert isinstance(pages[2], BrokenPage)
        assert "damaged" in pages[2].reason

    def test_a_turned_page_is_drawn_upright(self, make_pdf: PdfMaker) -> None:
        assert only(make_pdf(["turned"], page_extra="/Rotate 90")).size == (200, 400)

    def test_colours_are_not_swapped(self) -> None:
        red, _, blue = only(encode(plain((300, 300)), "PDF")).image.getpixel((150, 150))
        assert red > 180 > 30 > blue

    def test_a_selection_keeps_the_numbers(self, make_pdf: PdfMaker) -> None:
        data = make_pdf([f"page {number}" for number in range(1, 6)])
        assert [(page.number, page.text) for page in open_pages(data, pages="2,4-")] == [
            (2, "page 2"),
            (4, "page 4"),
            (5, "page 5"),
        ]

    def test_a_page_beyond_the_end_is_refused(self, make_pdf: PdfMaker) -> None:
        assert refusal(make_pdf(["a", "b"]), pages="7") == "bytes: page 7 is asked for, but there are 2 pages, 1-2"

    def test_a_missing_page_keeps_its_place_and_the_others(self, make_pdf: PdfMaker) -> None:
        first, second, third = open_pages(make_pdf(["one", None, "three"]))
        assert second == BrokenPage("bytes", 2, "the page is damaged or missing in the PDF")
        assert isinstance(first, Page)
        assert isinstance(third, Page)
        assert (third.number, third.text) == (3, "three")

    def test_a_locked_pdf_needs_its_password(self, make_pdf: PdfMaker) -> None:
        data = make_pdf(["secret"], password="sesame")
        assert only(data, password="sesame").text == "secret"
        with pytest.raises(EncryptedError, match="is locked; give its password with --password"):
            list(open_pages(data))
        with pytest.raises(EncryptedError, match="password is wrong"):
            list(open_pages(data, password="Sesame"))
        with pytest.raises(EncryptedError, match="password is wrong"):
            list(open_pages(data, password="\udcff"))

    def test_a_password_that_is_not_needed_does_no_harm(self, make_pdf: PdfMaker) -> None:
        assert only(make_pdf(["open"]), password="sesame").text == "open"

    def test_a_pdf_without_pages_says_so(self, make_pdf: PdfMaker) -> None:
        assert refusal(make_pdf([])) == "bytes: the PDF has no pages"

    def test_a_pdf_without_pages_is_not_taken_for_the_locked_one_before_it(self, make_pdf: PdfMaker) -> None:
        assert "locked" in refusal(make_pdf(["secret"], password="sesame"))
        assert refusal(make_pdf([])) == "bytes: the PDF has no pages"

    @pytest.mark.parametrize("data", [b"%PDF-1.7\nrubbish", b"%PDF-1.4\n"])
    def test_a_hollow_pdf_is_damaged(self, data: bytes) -> None:
        assert "the PDF is damaged or cut short" in refusal(data)

    def test_a_cut_pdf_is_refused_or_shows_what_is_left(self, make_pdf: PdfMaker) -> None:
        data = make_pdf(["one", "two", "three"])
        for length in range(20, len(data), 97):
            try:
                pages = list(open_pages(data[:length]))
            except InputError:
                continue
            assert len(pages) == 3

    def test_a_page_is_drawn_only_when_it_is_asked_for(self, make_pdf: PdfMaker, tmp_path: Path) -> None:
        path = tmp_path / "long.pdf"
        path.write_bytes(make_pdf(["page"] * 400))
        pages = open_pages(path)
        assert next(pages).number == 1
        pages.close()  # type: ignore[attr-defined]
        path.unlink()

    def test_a_page_of_one_point_is_too_small(self, make_pdf: PdfMaker) -> None:
        assert "2 x 2 pixels is too small" in refusal(make_pdf(["."], size=(1, 1)))


class TestSources:
    def test_a_folder_gives_its_files_in_natural_order(self, tmp_path: Path, make_pdf: PdfMaker) -> None:
        for name in ("page10.png", "page2.png", "Page1.PNG", ".hidden.png", "notes.txt"):
            (tmp_path / name).write_bytes(encode(plain(), "PNG"))
        (tmp_path / "page3.pdf").write_bytes(make_pdf(["a", "b"]))
        (tmp_path / "inner.png").mkdir()
        names = [(Path(page.source).name, page.number) for page in open_pages(tmp_path)]
        assert names == [("Page1.PNG", 1), ("page2.png", 1), ("page3.pdf", 1), ("page3.pdf", 2), ("page10.png", 1)]

    def test_a_folder_without_pages_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("nothing")
        assert "a directory without pages" in refusal(tmp_path)

    def test_one_bad_file_does_not_end_the_walk_over_found_inputs(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encode(plain(), "PNG"))
        (tmp_path / "b.png").write_bytes(b"")
        (tmp_path / "c.png").write_bytes(encode(plain(), "PNG"))
        outcomes = []
        for found in find_inputs([tmp_path, tmp_path / "missing.pdf", tmp_path / "a.png"]):
            try:
                outcomes.append(len(list(open_pages(found))))
            except InputError:
                outcomes.append(0)
        assert outcomes == [1, 0, 1, 0, 1]

    def test_standard_input_is_handed_on_even_beside_a_folder_of_that_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "-").mkdir()
        monkeypatch.chdir(tmp_path)
        assert list(find_inputs(["-"])) == ["-"]

    def test_standard_input_is_read_as_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(plain(), "PNG"))))
        assert only("-").source == "stdin"

    def test_a_large_standard_input_waits_on_the_disk(self, monkeypatch):
        monkeypatch.setattr("dsocr.pages.open._IN_MEMORY", 10)
        monkeypatch.setattr("dsocr.pages.open._BLOCK", 7)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(plain(), "PNG"))))
        assert only("-").source == "stdin"

    def test_standard_input_without_end_is_refused_in_a_line(self, monkeypatch):
        class Endless(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, into) -> int:
                return len(into)

        monkeypatch.setattr("dsocr.pages.open._MOST_STDIN", 5 * 2**20)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
        with pytest.raises(InputError, match=r"^stdin: more than the limit of 5,242,880 bytes; save it"):
            list(open_pages("-"))

    def test_an_image_in_memory_is_a_page_and_stays_as_it_was(self) -> None:
        image = plain(colour=(1, 2, 3, 0), mode="RGBA")
        page = only(image)
        assert (page.source, page.number, page.image.mode, image.mode) == ("image", 1, "RGB", "RGBA")

    def test_a_page_is_a_page(self) -> None:
        page = Page("elsewhere", 7, plain(), None, None)
        assert only(page) is page

    def test_a_path_may_be_a_str(self, tmp_path: Path) -> None:
        (tmp_path / "näme 😀.png").write_bytes(encode(plain(), "PNG"))
        assert only(str(tmp_path / "näme 😀.png")).size == (40, 30)


def test_pages_are_opened_without_loading_torch() -> None:
    program = "import sys, dsocr.pages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_pdfs_may_be_read_in_several_threads(make_pdf: PdfMaker) -> None:
    data = make_pdf([str(number) for number in range(10)])
    with ThreadPoolExecutor(4) as threads:
        texts = list(threads.map(lambda _: [page.text for page in open_pages(data)], range(8)))
    assert texts == [[str(number) for number in range(10)]] * 8


class TestRubbish:
    def test_an_empty_file(self) -> None:
        assert refusal(b"") == "bytes: the file is empty"

    @pytest.mark.parametrize("data", [b"just text", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
    def test_what_is_no_page_is_told_what_would_be(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "page.png").write_bytes(data)
        assert "none of the known formats: PNG, JPEG, WebP, TIFF, BMP, GIF, PDF" in refusal(tmp_path / "page.png")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        assert refusal(tmp_path / "page.pdf").endswith("page.pdf: no such file")

    @pytest.mark.parametrize("name", ["", "a\0b.pdf", "x" * 300 + ".pdf", "line\nbreak.pdf", "\udcff.pdf"])
    def test_impossible_and_odd_names_give_one_line_that_can_be_printed(self, name: str) -> None:
        assert refusal(name).encode()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_is_refused_without_waiting_for_it(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        assert "not a regular file" in refusal(tmp_path / "pipe.png")

    @pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs devices")
    def test_a_device_is_refused(self) -> None:
        assert "not a regular file" in refusal("/dev/zero")

    def test_a_link_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
        refusal(tmp_path / "loop.png")

    def test_a_file_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mine.png").write_bytes(encode(plain(), "PNG"))
        monkeypatch.setattr(os, "stat", _deny)
        with pytest.raises(FileAccessError, match="may not be read"):
            list(open_pages(tmp_path / "mine.png"))

    @pytest.mark.parametrize("dpi", [0, -1, float("nan"), float("inf")])
    def test_a_resolution_that_is_none(self, dpi: float) -> None:
        with pytest.raises(InputError, match="is not a resolution"):
            open_pages(b"", dpi=dpi)

    @pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_no_damage_to_a_file_raises_anything_but_an_input_error(self, data: st.DataObject) -> None:
        sound = bytearray(data.draw(st.sampled_from(SOUND_FILES)))
        for _ in range(data.draw(st.integers(1, 8))):
            sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
        with suppress(InputError):
            for page in open_pages(bytes(sound), max_pixels=10**6):
                assert isinstance(page, Page | BrokenPage)


def _with_a_bad_second_page(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as tiff:
        tiff.seek(1)
        start, length = tiff.tag_v2[273][0], tiff.tag_v2[279][0]  # type: ignore[attr-defined]
    return data[:start] + b"\xff" * length + data[start + length :]


def _deny(path: Any, **_: Any) -> Any:
    raise PermissionError(path)


SOUND_FILES = [encode(noise((24, 20)), format) for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PDF")]
SOUND_FILES.append(encode(plain(), "TIFF", save_all=True, append_images=[noise((16, 16))]))
SOUND_FILES.append(encode(plain(), "GIF", save_all=True, append_images=[noise((40, 30))]))
