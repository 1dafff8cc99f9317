"""The plugin in the real OCRmyPDF: pages are read by nano, and the words are in the PDF that comes out."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pypdfium2 as pdfium
import pytest
from PIL import Image, ImageDraw, ImageFont

import dsocr

ocrmypdf = pytest.importorskip("ocrmypdf", minversion="17")  # before, it needs programs beside itself

from ocrmypdf.exceptions import BadArgsError, ExitCode  # noqa: E402

from dsocr.ocrmypdf import Engine  # noqa: E402

NANO = {"dsocr_model": "nano", "dsocr_mode": "tiny"}
WORDS = "Title\nfish and chips\ncrème brûlée\n漢字"


@pytest.fixture(scope="session")
def note() -> Image.Image:
    """Three printed lines."""
    image = Image.new("RGB", (500, 160), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(28)
    for number, line in enumerate(["The quick brown fox", "jumps over the lazy", "dog in the sun"]):
        pen.text((20, 15 + 45 * number), line, font=font, fill="black")
    return image


@pytest.fixture
def scan(note, tmp_path) -> Path:
    """A PDF of two such pages at 144 dpi."""
    path = tmp_path / "scan.pdf"
    note.save(path, save_all=True, append_images=[note], resolution=144)
    return path


def run(source: Path, **options) -> list[str]:
    """What stands on each page of what OCRmyPDF makes of a file."""
    target = source.with_name("out.pdf")
    wishes = {"output_type": "pdf", "optimize": 0, "progress_bar": False, "plugins": ["dsocr.ocrmypdf"]}
    assert ocrmypdf.ocr(source, target, **(NANO | wishes | options)) == ExitCode.ok
    return [page.get_textpage().get_text_bounded() for page in pdfium.PdfDocument(target)]


def options(**named) -> SimpleNamespace:
    return SimpleNamespace(languages=["eng"], **(NANO | named))


def test_the_command_puts_what_nano_reads_into_the_pdf(note, tmp_path):
    scan, target, text = (tmp_path / name for name in ("scan.pdf", "out.pdf", "out.txt"))
    note.save(scan, resolution=144)
    wishes = ["--output-type", "pdf", "--optimize", "0", "--sidecar", str(text)]
    nano = ["--plugin", "dsocr.ocrmypdf", "--dsocr-model", "nano", "--dsocr-prompt", "free"]
    command = [sys.executable, "-m", "ocrmypdf", *nano, *wishes, str(scan), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = pdfium.PdfDocument(target)[0].get_textpage().get_text_bounded().split()
    read = dsocr.to_text(dsocr.load("nano").read(note, prompt="free")).split()
    assert len(set(read) & set(found)) > len(set(read)) / 2  # OCRmyPDF draws the page in its own way
    assert text.read_text(encoding="utf-8").split() == found


def test_every_word_is_where_the_block_has_it(scan, dictate):
    dictate(f"<|ref|>text<|/ref|><|det|>[[0, 500, 999, 999]]<|/det|>\n{WORDS}")
    assert [page.split() for page in run(scan)] == [WORDS.split()] * 2
    page = pdfium.PdfDocument(scan.with_name("out.pdf"))[0]
    found = page.get_textpage()
    found.count_rects(*found.search("chips").get_next())
    left, bottom, right, top = found.get_rect(0)
    assert left > page.get_width() / 2
    assert right <= page.get_width() + 1
    assert 0 < bottom < top < page.get_height() / 2 + 1


def test_a_blank_page_is_no_reason_to_warn(tmp_path, caplog):
    Image.new("RGB", (200, 100), "white").save(tmp_path / "blank.png")
    element, _ = Engine.generate_ocr(tmp_path / "blank.png", options())
    assert (list(element.children), [record.levelname for record in caplog.records if record.levelno > 20]) == ([], [])


@pytest.mark.parametrize("renderer", ["auto", "sandwich"])
def test_both_ways_to_draw_the_text_find_it(scan, dictate, renderer):
    dictate("one line", "another line")
    pages = run(scan, pdf_renderer=renderer, jobs=1)
    assert [page.strip() for page in pages] == ["one line", "another line"]


def test_pages_at_once_are_read_by_one_model(scan, dictate, monkeypatch):
    loaded = []
    monkeypatch.setattr("dsocr.ocrmypdf._load", lambda name: loaded.append(name) or dsocr.load(name))
    dictate("words")
    assert [page.strip() for page in run(scan, jobs=2, use_threads=False)] == ["words", "words"]
    assert set(loaded) == {"nano"}  # in this very process


def test_a_page_that_holds_text_is_left_to_ocrmypdf(make_pdf, tmp_path, dictate):
    dictate("new")
    path = tmp_path / "text.pdf"
    path.write_bytes(make_pdf(["Old"]))
    with pytest.raises(ocrmypdf.exceptions.PriorOcrFoundError):
        run(path)
    assert [page.strip() for page in run(path, skip_text=True)] == ["Old"]


@pytest.mark.parametrize(
    ("wrong", "line"),
    [({"dsocr_mode": "huge"}, "known: tiny"), ({"dsocr_prompt": " "}, "document"), ({"dsocr_model": "none"}, "nano")],
)
def test_a_bad_option_is_one_line_and_its_exit_code(scan, wrong, line):
    with pytest.raises(BadArgsError, match=line) as caught:
        run(scan, **wrong)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.bad_args


def test_another_engine_is_another_engine(scan):
    assert [page.strip() for page in run(scan, ocr_engine="none")] == ["", ""]


def test_what_went_wrong_with_a_page_is_logged(note, tmp_path, dictate, caplog):
    dictate("half a", finish_reason="length")
    note.save(tmp_path / "page.png")
    element, text = Engine.generate_ocr(tmp_path / "page.png", options())
    assert (text, element.get_text_recursive()) == (
        "half a\n[page 1: truncated: the limit of new tokens was reached]",
        "half a",
    )
    assert "truncated" in caplog.text


def test_hocr_and_text_are_written_for_older_versions(note, tmp_path, dictate):
    dictate(WORDS)
    page, hocr, text = (tmp_path / name for name in ("page.png", "page.hocr", "page.txt"))
    note.save(page, dpi=(150, 150))
    Engine.generate_hocr(page, hocr, text, options())
    assert text.read_text(encoding="utf-8") == WORDS
    read = ocrmypdf.hocrtransform.HocrParser(hocr).parse()
    assert " ".join(word.text for word in read.words).split() == WORDS.split()


def test_the_text_only_pdf_is_as_large_as_the_page_and_shows_nothing(note, tmp_path, dictate):
    dictate("words")
    page, pdf, text = (tmp_path / name for name in ("page.png", "page.pdf", "page.txt"))
    note.save(page, dpi=(150, 150))
    Engine.generate_pdf(page, pdf, text, options())
    (shown,) = pdfium.PdfDocument(io.BytesIO(pdf.read_bytes()))
    assert shown.get_size() == pytest.approx((500 * 72 / 150, 160 * 72 / 150), abs=0.05)
    assert shown.render().to_pil().convert("L").getextrema() == (255, 255)
    assert (shown.get_textpage().get_text_bounded(), text.read_text()) == ("words", "words")


def test_any_language_is_welcome_and_pages_are_not_turned():
    assert Engine.languages(options()) == {"eng"}
    assert Engine.get_orientation(Path(), options()).confidence == 0
    assert Engine.get_deskew(Path(), options()) == 0
    assert str(Engine()) == Engine.creator_tag(options()) == f"dsocr {Engine.version()}"
