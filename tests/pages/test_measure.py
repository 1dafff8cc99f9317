"""Pages are measured without being drawn, and are as large as they will be drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from dsocr.errors import EncryptedError, InputError
from dsocr.pages import BrokenPage, PageSize, measure_pages, open_pages


def drawn(path: Path, **options) -> list[PageSize]:
    """The sizes of the pages as they are when they are opened."""
    return [
        PageSize(page.number, 0, 0) if isinstance(page, BrokenPage) else PageSize(page.number, *page.size)
        for page in open_pages(path, **options)
    ]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(30, 400), st.integers(30, 400)),
    dpi=st.floats(30, 200),
    turned=st.sampled_from([0, 90, 180, 270]),
)
def test_a_pdf_is_measured_as_it_is_drawn(tmp_path, make_pdf, size, dpi, turned):
    (tmp_path / "a.pdf").write_bytes(make_pdf(["x", None, "y"], size=size, page_extra=f"/Rotate {turned}"))
    assert measure_pages(tmp_path / "a.pdf", dpi=dpi) == drawn(tmp_path / "a.pdf", dpi=dpi)


@pytest.mark.parametrize("format", ["png", "jpg", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_measured_upright(tmp_path, format, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"a.{format}"
    Image.new("RGB", (80, 60)).save(path, exif=exif)
    assert measure_pages(path) == drawn(path)


@pytest.mark.parametrize(("format", "last"), [("gif", (80, 60)), ("tiff", (30, 90)), ("webp", (80, 60))])
def test_every_page_is_measured_and_only_those_asked_for(tmp_path, format, last):
    path = tmp_path / f"a.{format}"
    others = [Image.new("RGB", size, colour) for size, colour in (((80, 60), "red"), (last, "blue"))]
    Image.new("RGB", (80, 60)).save(path, save_all=True, append_images=others)
    assert measure_pages(path, pages="2-") == drawn(path, pages="2-")
    assert [size.number for size in measure_pages(path, pages="2-")] == [2, 3]


def test_a_picture_is_not_decoded(tmp_path):
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:60])
    assert measure_pages(tmp_path / "a.png") == [PageSize(1, 80, 60)]


def test_what_cannot_be_opened_is_told_as_when_it_is_read(tmp_path, make_pdf):
    (tmp_path / "a.pdf").write_bytes(make_pdf(["x"], password="x"))
    with pytest.raises(EncryptedError, match=r"a\.pdf: the PDF is locked"):
        measure_pages(tmp_path / "a.pdf")
    with pytest.raises(InputError, match="no such file"):
        measure_pages(tmp_path / "b.pdf")
