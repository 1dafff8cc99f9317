"""The tables of a document - charts that were read are tables too - as CSV, one file each."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from dsocr.document.blocks import Document
from dsocr.document.files import OutputFile
from dsocr.document.tables import Cell, Table, split_tables

# A sign begins a formula unless all it has after it is a number or money, or nothing.
_STARTS_A_FORMULA = re.compile(r"[=@\t\r]|[+-](?![+-]*[\d.,%$€£¥\s]*\Z)")


def to_csv(table: Table) -> str:
    """The table's rows as a spreadsheet reads them, the first as wide as the widest.

    A cell's text stands in the first place of its span, the others are empty. What a spreadsheet would take for a
    formula gets a ' in front: a page that was read must not compute anything.
    """
    lines, width = table.grid(), table.width
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for line in lines:
        missing = width - len(line) if line is lines[0] else 0
        writer.writerow([_value(cell) for cell in line] + [""] * missing)
    return text.getvalue()


def csv_files(document: Document, name: str) -> Iterator[OutputFile]:
    """NAME_table_PAGE_INDEX.csv for each table, counted from 0 on its page, in UTF-8 with the mark Excel looks for."""
    for page in document.transcripts:
        pieces = (piece for block in page.blocks for piece in split_tables(block.text))
        tables = [piece for piece in pieces if isinstance(piece, Table) and piece.rows]
        for index, table in enumerate(tables):
            content = to_csv(table).encode("utf-8-sig", "replace")
            yield OutputFile(f"{name}_table_{page.page}_{index}.csv", content)


def _value(cell: Cell | None) -> str:
    # A NUL ends a text for many readers, and the writer itself may refuse it.
    text = "" if cell is None else cell.text.replace("\x00", "\ufffd")
    return f"'{text}" if _STARTS_A_FORMULA.match(text) else text
