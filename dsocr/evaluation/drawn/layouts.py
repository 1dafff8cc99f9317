"""Drawn pages written as the benchmarks lay out their own: Fox, OmniDocBench, olmOCR-bench."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from dsocr.evaluation.drawn.pages import FORMULA, HEADER, PAGE_NUMBER, TABLE, TEXT, TITLE, DrawnPage, Piece

FOX_QUESTION = "<image>\nOCR this image: "
_CATEGORIES = {
    TITLE: "title",
    TEXT: "text_block",
    TABLE: "table",
    FORMULA: "equation_isolated",
    HEADER: "header",
    PAGE_NUMBER: "page_number",
}
# Which of olmOCR-bench's files asks about which kind of page; its pictures lie in a folder of that name or of its own.
_OLMOCR = {
    "note": ("long_tiny_text", "long_tiny_text"),
    "book": ("headers_footers", "headers_footers"),
    "academic_literature": ("arxiv_math", "arxiv_math"),
    "research_report": ("table_tests", "tables"),
    "magazine": ("multi_column", "multi_column"),
}
_ASKED_WORDS = 4  # of a line, in a test for presence
_DPI = 96


def write_fox(pages: Sequence[DrawnPage], folder: Path) -> None:
    """en_page_ocr.json beside en_pdf_png/: for each page a question and the text that answers it."""
    _save_images(pages, folder / "en_pdf_png")
    items = [
        {
            "image": f"{page.name}.png",
            "conversations": [{"from": "human", "value": FOX_QUESTION}, {"from": "gpt", "value": page.text}],
        }
        for page in pages
    ]
    _save_json(items, folder / "en_page_ocr.json")


def write_omnidocbench(pages: Sequence[DrawnPage], folder: Path) -> None:
    """OmniDocBench.json beside images/: for each page its regions in reading order, and what sort of page it is."""
    _save_images(pages, folder / "images")
    _save_json([_omnidocbench_page(number, page) for number, page in enumerate(pages)], folder / "OmniDocBench.json")


def write_olmocr_bench(pages: Sequence[DrawnPage], folder: Path) -> None:
    """One file of tests for each kind of page beside pdfs/: present, absent, order, table, math."""
    tests: dict[str, list[str]] = {}
    for page in pages:
        file, where = _OLMOCR[page.kind]
        path = folder / "pdfs" / where / f"{page.name}.pdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        page.image.save(path, resolution=_DPI)
        for number, asked in enumerate(_olmocr_tests(page)):
            test = {
                "pdf": f"{where}/{page.name}.pdf",
                "page": 1,
                "id": f"{page.name}_{number}",
                **asked,
                "checked": None,
            }
            tests.setdefault(file, []).append(json.dumps(test, ensure_ascii=False) + "\n")
    for file, lines in tests.items():
        (folder / f"{file}.jsonl").write_text("".join(lines), encoding="utf-8")


def _omnidocbench_page(number: int, page: DrawnPage) -> dict[str, object]:
    regions = [_omnidocbench_region(index, piece) for index, piece in enumerate(page.pieces)]
    layout = "double_column" if page.kind == "magazine" else "single_column"
    attribute = {"data_source": page.kind, "language": "english", "layout": layout, "special_issue": []}
    return {
        "layout_dets": regions,
        "page_info": {
            "page_no": number,
            "height": page.image.height,
            "width": page.image.width,
            "image_path": f"{page.name}.png",
            "page_attribute": attribute,
        },
        "extra": {"relation": []},
    }


def _omnidocbench_region(index: int, piece: Piece) -> dict[str, object]:
    left, top, right, bottom = piece.box
    region = {
        "category_type": _CATEGORIES[piece.kind],
        "poly": [float(edge) for edge in (left, top, right, top, right, bottom, left, bottom)],
        "ignore": False,
        "order": index,
        "anno_id": index,
    }
    if piece.kind == TABLE:
        language = {"language": "table_en", "line": "full_line", "with_span": False, "include_equation": False}
        return {**region, "html": piece.markup, "attribute": language}
    if piece.kind == FORMULA:
        return {**region, "latex": f"$${piece.markup}$$", "attribute": {"formula_type": "print"}}
    words = {"text_language": "text_english", "text_background": "white", "text_rotate": "normal"}
    return {**region, "text": " ".join(piece.printed.split()), "attribute": words}


def _olmocr_tests(page: DrawnPage) -> Iterator[dict[str, object]]:
    """Tests of what this page holds; furniture must be absent, all else present."""
    texts = [piece for piece in page.pieces if piece.kind == TEXT]
    for piece in page.pieces:
        if piece.kind in (HEADER, PAGE_NUMBER):
            yield {"type": "absent", "text": piece.printed, "case_sensitive": False, "first_n": None, "last_n": None}
        elif piece.kind == FORMULA:
            yield {"type": "math", "math": piece.markup}
        elif piece.kind == TABLE:
            yield from _table_tests(piece)
    for piece in texts:
        yield {"type": "present", "max_diffs": 2, "text": _phrase(piece, 0), "case_sensitive": True}
    for before, after in _neighbours(texts):
        yield {"type": "order", "before": before, "after": after, "max_diffs": 2}


def _neighbours(texts: Sequence[Piece]) -> Iterator[tuple[str, str]]:
    """Phrases that follow each other: the first and last of a paragraph, then from one paragraph to the next."""
    for piece in texts:
        if piece.printed.count("\n") > 1:
            yield _phrase(piece, 0), _phrase(piece, -2)
    for above, below in itertools.pairwise(texts):
        yield _phrase(above, -2), _phrase(below, 0)


def _phrase(piece: Piece, line: int) -> str:
    """A few words of one of its lines, the last but one at most: the last may have a single word."""
    lines = piece.printed.split("\n")
    return " ".join(lines[max(line, -len(lines))].split()[:_ASKED_WORDS])


def _table_tests(piece: Piece) -> Iterator[dict[str, object]]:
    """Each cell of the body beside the one left of it and under its heading."""
    heads, *body = piece.cells
    for row in body:
        for column in range(1, len(row)):
            yield {"type": "table", "cell": row[column], "left": row[column - 1], "top_heading": heads[column]}


def _save_images(pages: Iterable[DrawnPage], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages:
        page.image.convert("P", palette=Image.Palette.ADAPTIVE, colors=16).save(folder / f"{page.name}.png")


def _save_json(content: object, path: Path) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
