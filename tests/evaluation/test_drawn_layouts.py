"""Drawn pages in the layouts of the benchmarks are what the benchmarks' own readers expect."""

from __future__ import annotations

import json

import pytest
from drawn_sets import small_set
from PIL import Image

from dsocr.evaluation import fox, omnidocbench
from dsocr.evaluation.drawn.layouts import write_fox, write_olmocr_bench, write_omnidocbench
from dsocr.evaluation.drawn.pages import FORMULA, HEADER, PAGE_NUMBER, TABLE, TEXT, TITLE
from dsocr.pages import open_pages

PAGES = small_set()


def test_fox_pages_come_back_with_their_text_and_picture(tmp_path):
    write_fox(PAGES, tmp_path)
    found = fox.read_truth(tmp_path)
    assert [page.truth for page in found] == [page.text for page in PAGES]
    assert [Image.open(page.picture).size for page in found] == [page.image.size for page in PAGES]


def test_omnidocbench_pages_come_back_with_their_blocks(tmp_path):
    write_omnidocbench(PAGES, tmp_path)
    found = omnidocbench.read_truth(tmp_path)
    assert [page.source for page in found] == [page.kind for page in PAGES]
    assert all((tmp_path / "images" / page.image).is_file() for page in found)
    tables = [block.text for page in found for block in page.blocks if block.category == "table"]
    assert tables == [piece.markup for page in PAGES for piece in page.pieces if piece.kind == TABLE]


def olmocr_tests(folder) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_olmocr_tests_have_names_of_their_own_and_pdfs_of_one_page(tmp_path):
    write_olmocr_bench(PAGES, tmp_path)
    tests = olmocr_tests(tmp_path)
    assert len({test["id"] for test in tests}) == len(tests)
    files = {test["pdf"] for test in tests}
    assert len(files) == len(PAGES)
    assert all(len(list(open_pages(tmp_path / "pdfs" / file))) == 1 for file in files)


@pytest.mark.parametrize(
    ("kind", "asked"),
    [(HEADER, "absent"), (PAGE_NUMBER, "absent"), (FORMULA, "math"), (TABLE, "table"), (TEXT, "order")],
)
def test_there_is_a_test_for_each_sort_of_thing_on_the_pages(tmp_path, kind, asked):
    write_olmocr_bench([page for page in PAGES if any(piece.kind == kind for piece in page.pieces)], tmp_path)
    assert asked in {test["type"] for test in olmocr_tests(tmp_path)}


def test_what_must_be_present_stands_on_its_page(tmp_path):
    write_olmocr_bench(PAGES, tmp_path)
    texts = {page.name: page.text for page in PAGES}
    present = [test for test in olmocr_tests(tmp_path) if test["type"] == "present"]
    assert len(present) >= sum(piece.kind == TEXT for page in PAGES for piece in page.pieces)
    for test in present:
        assert test["text"] in texts[test["id"].rpartition("_")[0]]


def test_what_comes_before_stands_before(tmp_path):
    write_olmocr_bench(PAGES, tmp_path)
    texts = {page.name: page.text for page in PAGES}
    for test in olmocr_tests(tmp_path):
        if test["type"] == "order":
            text = texts[test["id"].rpartition("_")[0]]
            assert text.index(test["before"]) < text.rindex(test["after"])


def test_titles_are_blocks_of_their_own(tmp_path):
    write_omnidocbench(PAGES, tmp_path)
    content = json.loads((tmp_path / "OmniDocBench.json").read_text())
    titles = [
        region["text"] for page in content for region in page["layout_dets"] if region["category_type"] == "title"
    ]
    assert titles == [piece.printed for page in PAGES for piece in page.pieces if piece.kind == TITLE]
