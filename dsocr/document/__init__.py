"""What the model wrote, as blocks with boxes, and the forms it can take."""

from __future__ import annotations

from dsocr.document.blocks import (
    BLANK,
    FAILED,
    LOOPED,
    OK,
    SKIPPED,
    STATUSES,
    TRUNCATED,
    Block,
    Box,
    Document,
    Transcript,
)
from dsocr.document.figures import crop_figures, find_figures
from dsocr.document.files import OutputFile, figure_files, jpeg, text_file
from dsocr.document.geometry import Geometry, read_geometry
from dsocr.document.gfm import to_gfm
from dsocr.document.grounding import StreamParser, Tag, parse, write
from dsocr.document.joins import join_pages
from dsocr.document.pdf.file import PdfFile
from dsocr.document.tables import Cell, Table, split_tables
from dsocr.document.to_alto import to_alto
from dsocr.document.to_csv import csv_files, to_csv
from dsocr.document.to_docling import to_docling, to_docling_dict
from dsocr.document.to_docx import to_docx
from dsocr.document.to_hocr import to_hocr
from dsocr.document.to_html import to_html
from dsocr.document.to_json import to_dict, to_json
from dsocr.document.to_layout_pdf import add_layout_page, to_layout_pdf
from dsocr.document.to_markdown import AS_WRITTEN, FURNITURE, MarkdownStyle, StreamingMarkdown, to_markdown
from dsocr.document.to_official import OfficialFiles, to_official
from dsocr.document.to_pdf import SearchablePdf, to_pdf
from dsocr.document.to_picture import to_picture
from dsocr.document.to_svg import svg_files, to_svg
from dsocr.document.to_text import to_text
from dsocr.document.words import Frame, TextBlock, TextLine, Word, lay_out

__all__ = [
    "AS_WRITTEN",
    "BLANK",
    "FAILED",
    "FURNITURE",
    "LOOPED",
    "OK",
    "SKIPPED",
    "STATUSES",
    "TRUNCATED",
    "Block",
    "Box",
    "Cell",
    "Document",
    "Frame",
    "Geometry",
    "MarkdownStyle",
    "OfficialFiles",
    "OutputFile",
    "PdfFile",
    "SearchablePdf",
    "StreamParser",
    "StreamingMarkdown",
    "Table",
    "Tag",
    "TextBlock",
    "TextLine",
    "Transcript",
    "Word",
    "add_layout_page",
    "crop_figures",
    "csv_files",
    "figure_files",
    "find_figures",
    "join_pages",
    "jpeg",
    "lay_out",
    "parse",
    "read_geometry",
    "split_tables",
    "svg_files",
    "text_file",
    "to_alto",
    "to_csv",
    "to_dict",
    "to_docling",
    "to_docling_dict",
    "to_docx",
    "to_gfm",
    "to_hocr",
    "to_html",
    "to_json",
    "to_layout_pdf",
    "to_markdown",
    "to_official",
    "to_pdf",
    "to_picture",
    "to_svg",
    "to_text",
    "write",
]
