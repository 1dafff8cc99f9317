"""What OmniDocBench knows of its pages, from its own JSON, and where it looks for what was read on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dsocr.errors import InputError
from dsocr.evaluation.files import Entry, read_list, read_text

FILE = "OmniDocBench.json"
TABLE, FORMULA = "table", "equation_isolated"
SCORED = ("text_block", "title", "code_txt", "code_txt_caption", "reference")
# Text that is matched, so that it hides no other, and then left out of every score.
UNSCORED = (
    "equation_caption",
    "figure_caption",
    "figure_footnote",
    "table_caption",
    "table_footnote",
    "code_algorithm",
    "code_algorithm_caption",
    "header",
    "footer",
    "page_footnote",
    "page_number",
)
_CONTENT = {TABLE: "html", FORMULA: "latex"}


@dataclass(frozen=True)
class Block:
    """A block of the truth: its kind, its place in reading order, and its text, LaTeX or HTML."""

    category: str
    order: float | None
    text: str


@dataclass(frozen=True)
class Page:
    """A page of the benchmark with its blocks; image: the file name of its picture."""

    image: str
    language: str  # english, simplified_chinese, en_ch_mixed, …
    source: str  # book, PPT2PDF, …
    blocks: tuple[Block, ...]


def read_truth(path: Path) -> tuple[Page, ...]:
    """The pages of OmniDocBench.json (the file, or a folder that has it), of any version."""
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{file}: this file is not there; give the folder of OmniDocBench's data, which has {FILE}")
    return tuple(map(_read_page, read_list(file)))


def read_prediction(page: Page, folder: Path) -> str | None:
    """What was read on the page, under the names the benchmark looks for, in its order; None where there is no file."""
    stem = PurePosixPath(page.image).stem
    short = stem.replace(".pdf", "")
    return read_text(folder, f"{stem}.md", f"{short}.mmd", f"{short}.md", f"{page.image}.md")


def _read_page(entry: Entry) -> Page:
    about = entry.entry("page_info")
    attributes = about.entry("page_attribute")
    image = PurePosixPath(about.text("image_path").replace("\\", "/")).name
    blocks = _joined(entry.entries("layout_dets"), entry.entry("extra").entries("relation"))
    return Page(image, attributes.maybe("language"), attributes.maybe("data_source"), tuple(blocks))


def _joined(entries: Sequence[Entry], relations: Sequence[Entry]) -> list[Block]:
    """The blocks; a paragraph that a column or page cuts into several is one, where its first part stands."""
    parts = _cut_paragraphs(relations)
    blocks: list[Block] = []
    pieces: dict[frozenset[str], list[Block]] = {}
    for entry in entries:
        key = _key(entry, "anno_id")
        together = next((part for part in parts if key in part), None)
        if together is None:
            blocks.append(_read_block(entry))
        else:
            pieces.setdefault(frozenset(together), []).append(_read_block(entry))
    for cut in pieces.values():
        cut.sort(key=lambda block: block.order or 0)
        blocks.append(Block(cut[0].category, cut[0].order, "".join(block.text for block in cut)))
    return blocks


def _cut_paragraphs(relations: Sequence[Entry]) -> list[set[str]]:
    """The blocks that belong to one paragraph, by their keys."""
    together: list[set[str]] = []
    for relation in relations:
        if relation.maybe("relation_type") != "truncated":
            continue
        keys = {_key(relation, "source_anno_id"), _key(relation, "target_anno_id")}
        for other in [part for part in together if part & keys]:
            together.remove(other)
            keys |= other
        together.append(keys)
    return together


def _key(entry: Entry, name: str) -> str:
    return str(entry.fields.get(name))


def _read_block(entry: Entry) -> Block:
    category = entry.text("category_type")
    return Block(category, entry.number("order"), entry.maybe(_CONTENT.get(category, "text")))
