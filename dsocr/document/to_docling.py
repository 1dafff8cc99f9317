"""A document as docling knows them: DoclingDocument, the JSON that its chunkers, exporters and indexes take."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import PurePath
from typing import Any, TypeAlias

from PIL import Image

from dsocr.document.blocks import Block, Document, Transcript
from dsocr.document.figures import FIGURE_LABEL, figure_name, usable_boxes
from dsocr.document.files import OutputFile
from dsocr.document.markup import block_html
from dsocr.document.plain_text import printable
from dsocr.document.tables import Cell, Table, split_tables

VERSION = "1.5.0"  # of the schema: the oldest that has all fields that are written here
_PAGE_HEADER, _PAGE_FOOTER, _CAPTION = "page_header", "page_footer", "caption"
_LABELS = {
    "header": _PAGE_HEADER,
    "footer": _PAGE_FOOTER,
    "page_number": _PAGE_FOOTER,
    "image_caption": _CAPTION,
    "table_caption": _CAPTION,
    "figure_title": _CAPTION,
    "footnote": "footnote",
    "page_footnote": "footnote",
    "equation": "formula",
}
_FURNITURE = frozenset({_PAGE_HEADER, _PAGE_FOOTER})
_HEADINGS = {f"h{level}": level - 1 for level in range(1, 7)}  # docling's title is what Markdown's first level is
_LISTS = frozenset({"ul", "ol"})
_BLOCKS = frozenset({"p", "li", "hr", "pre", "div", "blockquote", *_LISTS, *_HEADINGS})

Node: TypeAlias = dict[str, Any]


def to_docling(document: Document, figures: Iterable[OutputFile] = (), indent: int | None = 2) -> str:
    """A DoclingDocument as JSON: texts, lists, tables and pictures in reading order, boxes in pixels of their pages.

    Figures are in it where they are among `figures`, by the names that `figure_files` gives. Words found with their
    boxes are texts of their own. Formulas are their LaTeX. The schema has no place for how a page ended.
    """
    return json.dumps(to_docling_dict(document, figures), ensure_ascii=False, indent=indent)


def to_docling_dict(document: Document, figures: Iterable[OutputFile] = ()) -> dict[str, Any]:
    """The same as dicts and lists."""
    writer = _Writer()
    kept = {figure.name: figure.content for figure in figures}
    for page in document.transcripts:
        shown = 0
        for block in page.blocks:
            writer.begin(page, block)
            if page.labels_are_text:
                writer.add_text("text", block.label)
            elif block.label == FIGURE_LABEL:
                for pixels in usable_boxes(block.boxes, page.width, page.height):
                    writer.add_picture(_place(page, pixels), kept.get(figure_name(page.page, shown)))
                    shown += 1
            for piece in split_tables(block.text):
                writer.add_piece(piece)
    return {
        "schema_name": "DoclingDocument",
        "version": VERSION,
        "name": _encodable(PurePath(document.source).stem),
        "furniture": _root("furniture"),
        "body": writer.body,
        **writer.items,
        "key_value_items": [],
        "form_items": [],
        "pages": {
            str(page.page): {"size": {"width": page.width, "height": page.height}, "page_no": page.page}
            for page in document.transcripts
        },
    }


class _Writer(HTMLParser):
    """Fed with the few tags that `block_html` writes, it adds items to one document."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _root("body")
        self.items: dict[str, list[Node]] = {"groups": [], "texts": [], "pictures": [], "tables": []}
        self._label = "text"  # of what the block says, unless its tags tell more
        self._places: list[Node] = []  # where the block stands
        self._lists: list[_List] = []  # those that are open, the innermost last
        self._tags: list[str] = []  # that hold the words that come, the innermost last
        self._formula = False
        self._words = ""

    def begin(self, page: Transcript, block: Block) -> None:
        """What follows is what one block says."""
        self._label = "text" if page.labels_are_text else _LABELS.get(block.label, "text")
        self._places = [_place(page, pixels) for pixels in usable_boxes(block.boxes, page.width, page.height)]
        # A text may run on in another column; each place is told, and a block without any is still on its page.
        self._places = self._places or [_place(page, (0, 0, page.width, page.height))]

    def add_piece(self, piece: Table | str) -> None:
        """A table, or the text around tables."""
        if isinstance(piece, Table):
            if piece.caption:
                self.add_text(_CAPTION, piece.caption)
            if piece.rows:
                self._add("tables", self.body, label="table", **_links(), prov=self._prov(0), data=_table(piece))
            return
        self.feed(block_html(piece))
        self._end()

    def add_picture(self, place: Node, content: bytes | None) -> None:
        """A figure in a place of its own."""
        image = {"image": _image(content)} if content else {}
        self._add("pictures", self.body, label="picture", **_links(), prov=[place], annotations=[], **image)

    def add_text(self, label: str, words: str, parent: Node | None = None, **more: object) -> Node | None:
        """Words of one kind; none where there are none."""
        text = _encodable(words) if label == "code" else printable(words)
        if not text:
            return None
        layer = {"content_layer": "furniture"} if label in _FURNITURE else {}
        prov = self._prov(len(text))
        return self._add("texts", parent or self.body, label=label, prov=prov, orig=text, text=text, **layer, **more)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """A block begins, or a formula."""
        classes = (dict(attributes).get("class") or "").split()
        if tag in _BLOCKS:
            self._end()
            self._tags.append("formula" if "math" in classes else tag)
        elif tag == "span" and "math" in classes:
            self._words += "$"
            self._formula = True
        elif tag == "br":
            self._words += "\n"
        if tag in _LISTS:
            first = dict(attributes).get("start") or "1"
            self._lists.append(_List(self._add_list(), int(first) if tag == "ol" else None))

    def handle_endtag(self, tag: str) -> None:
        """A block ends, or a formula."""
        if tag == "span" and self._formula:
            self._words += "$"
            self._formula = False
        if tag in _BLOCKS:
            self._end()
            if self._tags:
                self._tags.pop()
            if tag in _LISTS and self._lists:
                self._lists.pop()

    def handle_data(self, data: str) -> None:
        """Words of the block that is open."""
        self._words += data

    def _end(self) -> None:
        """What was said since the last block began or ended is an item."""
        words, self._words = self._words, ""
        if not words.strip():
            return
        headings = [tag for tag in self._tags if tag in _HEADINGS]
        if self._lists:
            self._add_list_item(self._lists[-1], words)
        elif headings:
            level = _HEADINGS[headings[-1]]
            self.add_text("section_header", words, level=level) if level else self.add_text("title", words)
        elif "pre" in self._tags:
            self.add_text("code", words.rstrip("\n"), code_language="unknown", **_links())
        else:
            self.add_text("formula" if "formula" in self._tags else self._label, words)

    def _add_list(self) -> Node:
        """A group for a list; one in another stands below the item it belongs to."""
        outer = self._lists[-1] if self._lists else None
        parent = (outer.last or outer.group) if outer else self.body
        return self._add("groups", parent, name="list", label="list")

    def _add_list_item(self, list: _List, words: str) -> None:
        marker = "-" if list.number is None else f"{list.number}."
        item = self.add_text("list_item", words, list.group, enumerated=list.number is not None, marker=marker)
        list.last = item or list.last
        if list.number is not None:
            list.number += 1

    def _add(self, kind: str, parent: Node, **fields: object) -> Node:
        reference = f"#/{kind}/{len(self.items[kind])}"
        node = {
            "self_ref": reference,
            "parent": {"$ref": parent["self_ref"]},
            "children": [],
            "content_layer": "body",
            **fields,
        }
        self.items[kind].append(node)
        parent["children"].append({"$ref": reference})
        return node

    def _prov(self, length: int) -> list[Node]:
        return [{**place, "charspan": [0, length]} for place in self._places]


@dataclass
class _List:
    """A list that is open: its group, the number of its next item (None where items have none), and its last item."""

    group: Node
    number: int | None
    last: Node | None = None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _links() -> Node:
    """What tables, pictures and code may refer to; nothing does here."""
    return {"captions": [], "references": [], "footnotes": []}


def _root(name: str) -> Node:
    return {"self_ref": f"#/{name}", "children": [], "content_layer": name, "name": "_root_", "label": "unspecified"}


def _place(page: Transcript, pixels: tuple[int, int, int, int]) -> Node:
    left, top, right, bottom = pixels
    box = {"l": left, "t": top, "r": right, "b": bottom, "coord_origin": "TOPLEFT"}
    return {"page_no": page.page, "bbox": box, "charspan": [0, 0]}


def _table(table: Table) -> Node:
    """Its cells with the rows and columns they stand over; a span does not reach beyond the last row."""
    grid = table.grid()
    cells = [
        _cell(cell, down, across, len(grid))
        for down, line in enumerate(grid)
        for across, cell in enumerate(line)
        if cell is not None
    ]
    return {"table_cells": cells, "num_rows": len(grid), "num_cols": table.width}


def _cell(cell: Cell, down: int, across: int, rows: int) -> Node:
    height = min(cell.rows, rows - down)
    return {
        "row_span": height,
        "col_span": cell.columns,
        "start_row_offset_idx": down,
        "end_row_offset_idx": down + height,
        "start_col_offset_idx": across,
        "end_col_offset_idx": across + cell.columns,
        "text": printable(cell.text),
        "column_header": cell.header,
        "row_header": False,
        "row_section": False,
    }


def _image(content: bytes) -> Node:
    width, height = Image.open(io.BytesIO(content)).size
    return {
        "mimetype": "image/jpeg",
        "dpi": 72,
        "size": {"width": width, "height": height},
        "uri": f"data:image/jpeg;base64,{base64.b64encode(content).decode()}",
    }
