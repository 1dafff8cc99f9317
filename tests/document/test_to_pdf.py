"""A searchable PDF: the page as it was, and its words where they stand."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zlib

import numpy as np
import pypdfium2 as pdfium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps
from read_pdfs import lines_of, picture_of, place_of, sizes_of, text_of
from written_pages import any_transcript
from written_pdfs import write_pdf

from dsocr.document import Block, Box, Document, Transcript
from dsocr.document.pdf.file import PdfFile
from dsocr.document.to_pdf import to_pdf
from dsocr.document.words import lay_out
from dsocr.errors import EncryptedError, InputError

SCRIPTS = [
    "The quick brown fox jumps over the lazy dog",
    "Grüße aus Köln, déjà vu à Besançon, ñandú, Łódź",
    "Ελληνικά γράμματα και λέξεις",
    "Русский текст тоже здесь",
    "深度学习模型可以识别文档中的文字",
    "日本語のテキストも認識できます",
    "한국어 문장도 읽습니다",
    "שלום עולם טוב",
    "مرحبا بالعالم العربي",
    "naïve 😀 ½ €5 \U0001d4b3",
]
PARAGRAPH = "It was a bright cold day in April and the clocks were striking thirteen. " * 4


def document(*texts: str, size: tuple[int, int] = (1000, 1000), box: tuple[int, ...] = (250, 100, 750, 200), **fields):
    """A page for each text, in a box that begins a quarter from the left and a tenth from the top."""
    pages = (
        Transcript(number, *size, "", (Block("text", (Box(*box),), text),), **fields)
        for number, text in enumerate(texts, start=1)
    )
    return Document("a.pdf", tuple(pages))


def drawing(size: tuple[int, int] = (120, 80)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 40, 20), fill="red")
    pen.rectangle((80, 60, 119, 79), fill="blue")
    pen.line((0, 79, 60, 40), fill=(0, 200, 0), width=3)
    return image


def picture_page(image: Image.Image, text: str = "words", **fields) -> Document:
    return Document("a", (Transcript(1, *image.size, "", (Block("", (), text),), image=image, **fields),))


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def difference(one: Image.Image, other: Image.Image) -> float:
    assert one.size == other.size
    return float(np.abs(np.asarray(one, int) - np.asarray(other, int)).mean())


def pdftotext(pdf: bytes) -> list[str]:
    """The lines that poppler finds."""
    if shutil.which("pdftotext") is None:
        pytest.skip("poppler is not installed")
    found = subprocess.run(["pdftotext", "-", "-"], input=pdf, capture_output=True, check=True)
    assert found.stderr == b""
    # What poppler marks as running from the right is no part of the text.
    text = found.stdout.decode().translate(dict.fromkeys(range(0x202A, 0x202F)))
    return [line for line in text.replace("\f", "\n").splitlines() if line]


class TestText:
    @pytest.mark.parametrize("text", SCRIPTS)
    def test_a_viewer_finds_words_of_any_script(self, text):
        assert text_of(to_pdf(document(text, box=(50, 100, 950, 120)))) == text

    @pytest.mark.parametrize("text", SCRIPTS)
    def test_so_does_pdftotext(self, text):
        assert pdftotext(to_pdf(document(text, box=(50, 100, 950, 120)))) == [text]

    @pytest.mark.parametrize("letter", ["x", "字", "1"])
    def test_a_single_letter_is_found(self, letter):
        assert text_of(to_pdf(document(letter))) == letter

    def test_lines_stay_lines(self):
        pdf = to_pdf(document("# One title\nTwo words here\nThree"))
        assert lines_of(pdf) == ["One title", "Two words here", "Three"]

    def test_a_paragraph_is_found_row_by_row(self):
        pages = document(PARAGRAPH, box=(100, 100, 500, 200))
        rows = [line.text for block in lay_out(pages.transcripts[0]) for line in block.lines]
        pdf = to_pdf(pages)
        assert len(rows) > 3
        assert lines_of(pdf) == rows == pdftotext(pdf)

    def test_words_stand_in_their_boxes(self):
        left, top, right, bottom = place_of(to_pdf(document("fish chips")), "chips")
        assert (left, top, right, bottom) == pytest.approx((500, 100, 750, 200), abs=4)

    def test_words_of_two_columns_do_not_mix(self):
        blocks = (
            Block("text", (Box(50, 100, 450, 160),), "left one\nleft two"),
            Block("text", (Box(550, 100, 950, 160),), "right one\nright two"),
        )
        pdf = to_pdf(Document("a", (Transcript(1, 1000, 1000, "", blocks),)))
        assert lines_of(pdf) == ["left one", "left two", "right one", "right two"]

    def test_nothing_of_it_is_seen(self):
        assert picture_of(to_pdf(document(PARAGRAPH))).getextrema() == ((255, 255),) * 3

    def test_the_same_pages_give_the_same_file(self):
        blank = write_pdf([""])
        assert to_pdf(document("x")) == to_pdf(document("x"))
        assert to_pdf(document("x"), blank) == to_pdf(document("x"), blank)

    @settings(max_examples=40)
    @given(st.lists(any_transcript, max_size=3), st.booleans())
    def test_whatever_was_written_the_pdf_opens_with_all_its_pages(self, transcripts, has_original):
        original = write_pdf(["", "text", ""]) if has_original else None
        pages = Document("a", tuple(transcripts))
        pdf = to_pdf(pages, original, existing_text="add")
        assert len(sizes_of(pdf)) == (3 if has_original else max(1, len(transcripts)))
        for page in range(1, len(sizes_of(pdf)) + 1):
            text_of(pdf, page)

    def test_more_letters_than_a_font_can_number_are_not_all_told_apart(self):
        file = io.BytesIO()
        pdf = PdfFile(file)
        letters = "".join(map(chr, [*range(0x4E00, 0xA000), *range(0x20000, 0x2D000)]))
        for start in range(0, len(letters), 1000):
            (page,) = document(letters[start : start + 1000]).transcripts
            pdf.add_page((1000, 1000), lines=[line for block in lay_out(page) for line in block.lines])
        pdf.close()
        assert text_of(file.getvalue(), 1).startswith("一丁丂")
        assert set(text_of(file.getvalue(), len(letters) // 1000)) <= {"\ufffd", " "}


class TestPicture:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_jpeg_is_kept_as_it_is_and_shown_upright(self, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        jpeg = encode(drawing(), "JPEG", quality=95, exif=exif)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(jpeg)))
        pdf = to_pdf(picture_page(upright, dpi=72), jpeg)
        assert jpeg in pdf
        assert difference(picture_of(pdf), upright) < 1
        assert text_of(pdf) == "words"

    @pytest.mark.parametrize(("mode", "allowed"), [("L", 1), ("CMYK", 15)])
    def test_a_jpeg_of_other_colours_is_kept_too(self, mode, allowed):
        jpeg = encode(drawing().convert(mode), "JPEG", quality=95)
        pdf = to_pdf(picture_page(Image.open(io.BytesIO(jpeg)).convert("RGB"), dpi=72), jpeg)
        assert jpeg in pdf
        assert difference(picture_of(pdf), drawing().convert(mode).convert("RGB")) < allowed

    @pytest.mark.parametrize("mode", ["1", "L", "RGB"])
    def test_every_pixel_of_another_picture_is_kept(self, mode):
        image = drawing().convert(mode).convert("RGB")
        pdf = to_pdf(picture_page(image, dpi=72), encode(image, "PNG"))
        assert difference(picture_of(pdf), image) == 0

    def test_a_page_without_its_picture_is_white_and_has_its_words(self):
        pdf = to_pdf(document("words"), b"GIF89a...")
        assert picture_of(pdf).getextrema() == ((255, 255),) * 3
        assert text_of(pdf) == "words"

    def test_a_jpeg_that_is_not_the_page_is_not_taken_for_it(self):
        jpeg = encode(drawing((50, 50)), "JPEG")
        pdf = to_pdf(picture_page(drawing(), dpi=72), jpeg)
        assert jpeg not in pdf
        assert difference(picture_of(pdf), drawing()) == 0

    def test_a_page_is_as_large_as_its_dpi_says(self):
        image = drawing((300, 150))
        assert sizes_of(to_pdf(picture_page(image, dpi=300))) == [(72, 36)]
        assert sizes_of(to_pdf(picture_page(image))) == [(150, 75)]
        assert sizes_of(to_pdf(picture_page(image, dpi=300), dpi=72)) == [(300, 150)]

    def test_a_page_is_never_larger_than_viewers_can_show(self):
        ((width, height),) = sizes_of(to_pdf(document("x", size=(60_000, 30_000)), dpi=72))
        assert (width, height) == pytest.approx((14_400, 7_200))

    @pytest.mark.parametrize("dpi", [-1, float("nan"), float("inf")])
    def test_a_dpi_that_is_none_is_a_mistake(self, dpi):
        with pytest.raises(InputError, match="no"):
            to_pdf(document("x"), dpi=dpi)

    def test_a_failed_page_is_there_and_blank(self):
        failed = Transcript(2, 0, 0, "", (), "failed", "the page is damaged")
        pages = Document("a.tiff", (*document("one").transcripts, failed))
        pdf = to_pdf(pages)
        assert [text_of(pdf, 1), text_of(pdf, 2)] == ["one", ""]
        assert len(sizes_of(to_pdf(Document("a", ())))) == 1

    def test_a_page_that_did_not_end_well_has_what_it_has(self):
        assert text_of(to_pdf(document("half a", status="truncated"))) == "half a"


pikepdf = pytest.importorskip("pikepdf")


def changed(pdf: bytes, change, **saving) -> bytes:
    """The PDF after `change(pikepdf.Pdf)`."""
    buffer = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        change(opened)
        opened.save(buffer, **saving)
    return buffer.getvalue()


def locked(pdf: bytes) -> bytes:
    return changed(pdf, lambda _: None, encryption=pikepdf.Encryption(user="geheim", owner="besitz"))


def drawn(*contents: bytes) -> bytes:
    """A PDF with a page for each content, packed."""
    pdf, buffer = pikepdf.new(), io.BytesIO()
    for number, content in enumerate(contents):
        pdf.add_blank_page(page_size=(400, 200))
        pdf.pages[number].Contents = pikepdf.Stream(pdf, zlib.compress(content), Filter=pikepdf.Name.FlateDecode)
    pdf.save(buffer)
    return buffer.getvalue()


class TestPdf:
    @pytest.mark.parametrize("boxes", ["", "/CropBox[60 20 180 90]", "/CropBox[-50 -50 900 50]/UserUnit 2.5"])
    @pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90, 450])
    def test_words_stand_where_the_page_as_seen_has_them(self, rotation, boxes):
        original = write_pdf([""], page_extra=f"/Rotate {rotation}{boxes}")
        ((width, height),) = sizes_of(original)
        pages = document("fish chips", size=(round(10 * width), round(10 * height)), box=(300, 500, 700, 540))
        pdf = to_pdf(pages, original)
        assert text_of(pdf) == "fish chips"
        (line,) = lay_out(pages.transcripts[0])[0].lines
        expected = [
            side * 100 / whole
            for side, whole in zip(
                (
                    line.words[1].frame.left,
                    line.words[1].frame.top,
                    line.words[1].frame.right,
                    line.words[1].frame.bottom,
                ),
                (width, height) * 2,
                strict=True,
            )
        ]
        assert place_of(pdf, "chips") == pytest.approx(expected, abs=6)

    def test_a_page_inherits_its_boxes_from_its_group(self):
        def move_up(pdf):
            page = pdf.pages[0].obj
            pdf.Root.Pages.MediaBox, pdf.Root.Pages.Rotate = page.MediaBox, 90
            del page.MediaBox

        original = changed(write_pdf([""]), move_up)
        left, top, _, _ = place_of(to_pdf(document("fish chips"), original), "fish")
        assert (left, top) == pytest.approx((250, 100), abs=10)

    def test_the_page_looks_as_before_and_all_of_it_is_there(self):
        def add_note(pdf):
            pdf.pages[0].Annots = pdf.make_indirect(
                [
                    pikepdf.Dictionary(
                        Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Text, Rect=[1, 1, 9, 9], Contents="n"
                    )
                ]
            )
            pdf.docinfo["/Title"] = "A title"

        original = changed(write_pdf(["Seen"], page_extra="/Rotate 90"), add_note)
        pdf = to_pdf(document("found"), original, existing_text="add")
        assert difference(picture_of(pdf, scale=2), picture_of(original, scale=2)) == 0
        with pikepdf.open(io.BytesIO(original)) as before, pikepdf.open(io.BytesIO(pdf)) as after:
            assert after.pages[0].Contents[-1].read_bytes() == before.pages[0].Contents.read_bytes()
            assert after.pages[0].Annots == before.pages[0].Annots
            assert after.docinfo["/Title"] == "A title"

    def test_what_a_page_leaves_behind_does_not_move_the_text(self):
        def leave_a_mess(pdf):
            pdf.pages[0].Contents = pdf.make_stream(b"q 0.1 0 0 0.1 500 500 cm 0 0 1 1 re W n Q Q q 9 0 0 9 0 0 cm BT")

        original = changed(write_pdf([""]), leave_a_mess)
        assert place_of(to_pdf(document("fish"), original), "fish")[1] == pytest.approx(100, abs=15)

    def test_pages_that_were_not_read_are_kept(self):
        pages = Document("a.pdf", (document("a", "found").transcripts[1],))
        pdf = to_pdf(pages, write_pdf(["", "", "Third"]))
        assert [text_of(pdf, page) for page in (1, 2, 3)] == ["", "found", "Third"]

    def test_a_page_that_is_missing_in_the_file_does_not_shift_the_others(self):
        original = write_pdf(["", None, ""])
        pdf = to_pdf(document("one", "two", "three"), original)
        assert [text_of(pdf, page) for page in range(1, len(sizes_of(pdf)) + 1)] == ["one", "three"]

    def test_a_number_beyond_the_last_page_is_let_go(self):
        assert text_of(to_pdf(document("one", "two"), write_pdf([""]))) == "one"

    def test_pages_that_share_their_resources_are_told_apart(self):
        def share(pdf):
            pdf.pages[1].Resources = pdf.make_indirect(pdf.pages[0].Resources)
            pdf.pages[0].Resources = pdf.pages[1].Resources

        pdf = to_pdf(document("one", "two"), changed(write_pdf(["", ""]), share))
        assert [text_of(pdf, 1), text_of(pdf, 2)] == ["one", "two"]

    def test_where_nothing_is_added_the_file_is_the_same(self):
        original = write_pdf(["Text", ""])
        assert to_pdf(document("new", " "), original) == original

    def test_a_locked_pdf_stays_locked(self):
        pdf = to_pdf(document("secret"), locked(write_pdf([""])), password="geheim")
        assert text_of(pdf, password="geheim") == "secret"
        with pytest.raises(pdfium.PdfiumError):
            text_of(pdf)

    @pytest.mark.parametrize("password", [None, "falsch"])
    def test_a_locked_pdf_needs_its_password(self, password):
        with pytest.raises(EncryptedError, match="password"):
            to_pdf(document("x"), locked(write_pdf([""])), password=password)

    def test_a_password_that_is_not_needed_does_no_harm(self):
        assert text_of(to_pdf(document("x"), write_pdf([""]), password="geheim")) == "x"

    def test_a_signature_is_not_broken(self):
        def sign(pdf):
            field = pikepdf.Dictionary(FT=pikepdf.Name.Sig, V=pikepdf.Dictionary(Type=pikepdf.Name.Sig))
            parent = pdf.make_indirect(pikepdf.Dictionary(Kids=[pdf.make_indirect(field)]))
            pdf.Root.AcroForm = pikepdf.Dictionary(SigFlags=3, Fields=[parent])

        with pytest.raises(InputError, match="signed"):
            to_pdf(document("x"), changed(write_pdf([""]), sign))

    @pytest.mark.parametrize(
        "original",
        [
            b"%PDF-1.4",
            b"%PDF-1.4\nrubbish",
            write_pdf([""])[:-300],
            write_pdf([""], password="x"),  # its lock is an object of a number that is out of all proportion
        ],
    )
    def test_a_damaged_pdf_is_a_mistake(self, original):
        with pytest.raises(InputError) as caught:
            to_pdf(document("x"), original, password="x")
        assert "\n" not in str(caught.value)

    @settings(max_examples=40)
    @given(st.data())
    def test_a_pdf_with_any_damage_gives_a_pdf_or_one_clear_line(self, data):
        original = to_pdf(document("first"), write_pdf(["", "b"], page_extra="/Rotate 90"), existing_text="add")
        place = data.draw(st.integers(9, len(original)))
        length = data.draw(st.integers(0, 30))
        junk = data.draw(st.sampled_from([b"", b"null", b"[", b">>", b"-1", b"/Kids", b"/Font 3", b"9 0 R", b"\0"]))
        damaged = original[:place] + junk + original[place + length :]
        existing = data.draw(st.sampled_from(["skip", "replace", "add"]))
        try:
            pdf = to_pdf(document("new", "new"), damaged, existing_text=existing)
        except InputError as error:
            pdf = b"%PDF-" if "\n" not in str(error) else b""
        assert b"%PDF-" in pdf

    def test_without_pikepdf_one_line_says_what_to_install(self, monkeypatch):
        for name in ("layer", "opened", "texts"):
            monkeypatch.delitem(sys.modules, f"dsocr.document.pdf.{name}", raising=False)
        monkeypatch.setitem(sys.modules, "pikepdf", None)
        with pytest.raises(InputError, match=r"pip install 'dsocr\[pdf\]'"):
            to_pdf(document("x"), write_pdf([""]))


class TestExistingText:
    def test_a_page_that_holds_text_is_left_alone(self):
        pdf = to_pdf(document("new", "new"), write_pdf(["Old", ""]))
        assert [text_of(pdf, 1), text_of(pdf, 2)] == ["Old", "new"]

    def test_text_in_a_form_is_text_too(self):
        def move_into_form(pdf):
            page = pdf.pages[0]
            form = pdf.make_stream(page.Contents.read_bytes(), Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Form)
            form.BBox, form.Resources = page.MediaBox, page.Resources
            page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(F=form))
            page.Contents = pdf.make_stream(b"/F Do")

        original = changed(write_pdf(["Old"]), move_into_form)
        assert text_of(original) == "Old"
        assert text_of(to_pdf(document("new"), original)) == "Old"

    def test_a_drawing_of_any_length_without_text_gets_ours_at_once(self, monkeypatch):
        monkeypatch.setattr("dsocr.document.pdf.texts._MOST_TOKENS", 50)
        original = drawn(b"q Q " * 500_000)
        assert text_of(to_pdf(document("words"), original)) == "words"

    @pytest.mark.parametrize(
        "content",
        [b"q Q " * 50_000 + b"BT (old) Tj ET", b"() Tj " * 50_000, bytes(8 * 2**20)],
        ids=["q", "Tj", "bomb"],
    )
    @pytest.mark.parametrize("wish", ["skip", "replace"])
    def test_a_page_too_long_to_look_through_stays_as_it_is_and_costs_no_other(self, content, wish, monkeypatch):
        monkeypatch.setattr("dsocr.document.pdf.texts._MOST_TOKENS", 5_000)
        monkeypatch.setattr("dsocr.document.pdf.texts._MOST_BYTES", 6 * 2**20)
        original = drawn(content, b"q Q")
        assert to_pdf(document("words"), original, existing_text=wish) == original
        made = to_pdf(document("words", "more words"), original, existing_text=wish)
        assert pdfium.PdfDocument(made)[1].get_textpage().get_text_bounded() == "more words"

    def test_spaces_are_no_text(self):
        assert text_of(to_pdf(document("new"), write_pdf(["   "]))) == "new"

    def test_the_invisible_text_of_an_earlier_reading_is_left_alone_or_replaced(self):
        once = to_pdf(document("first"), write_pdf([""]))
        assert to_pdf(document("second"), once) == once
        assert text_of(to_pdf(document("second"), once, existing_text="replace")) == "second"
        assert text_of(to_pdf(document("second"), once, existing_text="add")) == "second first"

    def test_only_the_invisible_text_is_replaced(self):
        both = to_pdf(document("first"), write_pdf(["Stamp"]), existing_text="add")
        pdf = to_pdf(document("second"), both, existing_text="replace")
        assert sorted(text_of(pdf).split()) == ["Stamp", "second"]
        assert difference(picture_of(pdf, scale=2), picture_of(both, scale=2)) == 0

    def test_invisible_text_in_a_form_is_replaced_too(self):
        def move_into_form(pdf):
            page = pdf.pages[0]
            page.contents_coalesce()
            form = pdf.make_stream(page.Contents.read_bytes(), Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Form)
            form.BBox, form.Resources = page.MediaBox, page.Resources
            page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(F=form))
            page.Contents = pdf.make_stream(b"/F Do /F Do")

        once = changed(to_pdf(document("first"), write_pdf([""])), move_into_form)
        assert "first" in text_of(once)
        assert text_of(to_pdf(document("second"), once, existing_text="replace")) == "second"

    def test_old_text_is_not_taken_away_for_nothing(self):
        once = to_pdf(document("first"), write_pdf([""]))
        assert to_pdf(document(""), once, existing_text="replace") == once

    def test_visible_text_alone_is_never_doubled_by_replacing(self):
        assert text_of(to_pdf(document("new"), write_pdf(["Old"]), existing_text="replace")) == "Old"

    def test_an_unknown_wish_is_a_mistake(self):
        with pytest.raises(InputError, match="known: skip, replace, add"):
            to_pdf(document("x"), existing_text="double")


class TestTurnedPages:
    """Pages that were turned to be read; their boxes are those of the turned page, the file stays as it was."""

    @pytest.mark.parametrize("own", ["", "/Rotate 90"])
    @pytest.mark.parametrize(("rotated", "place"), [(90, (150, 500)), (180, (500, 850)), (270, (850, 500))])
    def test_words_lie_where_they_stand_on_the_page_as_it_was(self, own, rotated, place):
        pdf = to_pdf(document("Hello", rotated=rotated), write_pdf([""], page_extra=own))
        left, top, right, bottom = place_of(pdf, "Hello")
        assert (left + right) / 2 == pytest.approx(place[0], abs=20)
        assert (top + bottom) / 2 == pytest.approx(place[1], abs=20)
        assert (bottom - top > right - left) == (rotated % 180 == 90)

    @pytest.mark.parametrize("rotated", [90, 180])
    def test_a_picture_is_shown_as_it_was_read(self, rotated):
        buffer = io.BytesIO()
        drawing().save(buffer, "JPEG")
        turned = drawing().rotate(-rotated, expand=True)
        pdf = to_pdf(picture_page(turned, rotated=rotated), buffer.getvalue())
        seen = picture_of(pdf).resize(turned.size)
        assert np.abs(np.asarray(seen, int) - np.asarray(turned, int)).mean() < 12
