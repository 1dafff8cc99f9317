"""Figures are cropped where the published code crops them."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops, ImageStat
from written_pages import GOLDEN, published_page, read_golden, transcript_of

from dsocr.document import crop_figures, find_figures
from dsocr.errors import InputError


@pytest.mark.parametrize("case", ["refs", "multi_box"])
def test_crops_are_the_published_ones(case):
    files = sorted((GOLDEN / "post" / case / "images").iterdir())
    crops = list(crop_figures(transcript_of(read_golden(case, "in.txt"), image=published_page())))
    assert [name for name, _ in crops] == [f"1_{file.name}" for file in files]
    for (_, crop), file in zip(crops, files, strict=True):
        published = Image.open(file)
        assert crop.size == published.size
        assert max(ImageStat.Stat(ImageChops.difference(crop, published)).mean) < 20  # JPEG on noise


@pytest.mark.parametrize(("case", "sizes"), [("dup_identical", [(180, 335)] * 2), ("malformed_det", [(294, 412)])])
def test_crops_have_the_published_sizes(case, sizes):
    crops = crop_figures(transcript_of(read_golden(case, "in.txt"), image=published_page()))
    assert [crop.size for _, crop in crops] == sizes


@pytest.mark.parametrize("case", ["out_of_range", "eval_expr", "geometry", "plain", "unterminated"])
def test_pages_without_figures_have_no_crops(case):
    assert list(crop_figures(transcript_of(read_golden(case, "in.txt"), image=published_page()))) == []


def test_a_word_that_says_image_is_no_figure():
    page = transcript_of("<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>", labels_are_text=True)
    assert list(find_figures(page)) == list(crop_figures(page)) == []


def test_figures_are_found_without_the_image_but_not_cropped():
    page = transcript_of(read_golden("refs", "in.txt"), page=4)
    assert [name for name, _ in find_figures(page)] == ["4_0.jpg"]
    with pytest.raises(InputError, match="page 4"):
        list(crop_figures(page))
