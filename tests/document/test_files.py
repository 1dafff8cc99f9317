"""Files of an answer can always be written."""

from __future__ import annotations

import io

from PIL import Image
from written_pages import published_page, read_golden, transcript_of

from dsocr.document import crop_figures, figure_files, jpeg, text_file


def test_a_text_ends_with_a_newline_and_holds_what_a_file_can():
    assert text_file("a.md", "漢 \ud800").content == "漢 ?\n".encode()


def test_a_picture_longer_than_a_jpeg_can_be_is_made_smaller_and_left_alone():
    image = Image.new("RGB", (140_000, 20))
    assert Image.open(io.BytesIO(jpeg(image))).size == (65_500, 9)
    assert image.size == (140_000, 20)


def test_figures_have_the_names_and_sizes_of_their_crops():
    page = transcript_of(read_golden("multi_box", "in.txt"), 4, image=published_page())
    sizes = {file.name: Image.open(io.BytesIO(file.content)).size for file in figure_files(page)}
    assert sizes == {name: crop.size for name, crop in crop_figures(page)}
