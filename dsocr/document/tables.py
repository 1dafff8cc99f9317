"""The HTML tables that the model writes, read strictly into rows and cells; what is no table markup is text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_SPAN = 1000  # columns or rows; more than a page could show
MAX_PLACES = 100_000  # of a table with its spans laid out; beyond that its spans are not believed

_ATTRIBUTES = r"(?:\s[^<>]{0,500})?"
_EDGE = re.compile(rf"<(/?)table{_ATTRIBUTES}>", re.IGNORECASE | re.ASCII)
_LONGEST_EDGE = len("</table >") + 500
_TAG = re.compile(
    rf"<(/?)(table|caption|colgroup|col|thead|tbody|tfoot|tr|td|th)({_ATTRIBUTES})/?>", re.IGNORECASE | re.ASCII
)
_SPAN = re.compile(r"""\b(col|row)span\s*=[\s"'\\]*([0-9]{1,9})""", re.IGNORECASE | re.ASCII)
_LINE_END = re.compile(r"<br\s{0,9}/?>|</?(?:tr|table)[^<>]{0,500}>", re.IGNORECASE | re.ASCII)
_SPACES = re.compile(r"[ \t\r\n\f]+")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: what the model wrote in it, and over how many columns and rows it stands."""

    markup: str
    columns: int = 1
    rows: int = 1
    header: bool = False

    @property
    def text(self) -> str:
        """Its words: entities are read, <br> ends a line, of a table in the cell each row is a line."""
        lines = (_SPACES.sub(" ", _TAG.sub(" ", line)).strip() for line in _LINE_END.split(self.markup))
        return html.unescape("\n".join(line for line in lines if line))


@dataclass(frozen=True)
class Table:
    """Rows of cells, the words that stand in none of them, and the whole as the model wrote it."""

    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    nested: bool = False  # a cell holds another table
    source: str = field(default="", repr=False, compare=False)

    def grid(self) -> list[list[Cell | None]]:
        """The rows with every cell in its column; None where a cell from the left or above stands.

        A row ends with its last own cell: it can be shorter than others, and costs no more than it holds.
        """
        grid: list[list[Cell | None]] = []
        taken: dict[int, int] = {}  # column: in how many rows from here on a cell from above stands
        for row in self.rows:
            line: list[Cell | None] = []
            below = {column: left - 1 for column, left in taken.items() if left > 1}
            for cell in row:
                while len(line) in taken:
                    line.append(None)
                if cell.rows > 1:
                    below |= dict.fromkeys(range(len(line), len(line) + cell.columns), cell.rows - 1)
                line += [cell, *[None] * (cell.columns - 1)]
            grid.append(line)
            taken = below
        return grid

    @property
    def width(self) -> int:
        """How many columns it has."""
        return max(map(len, self.grid()), default=0)


class TableParser:
    """Finds whole tables in text that arrives in pieces of any size; a table is held back until it ends."""

    def __init__(self) -> None:
        self._half_tag = ""
        self._held: list[str] = []
        self._depth = 0

    def feed(self, delta: str) -> list[Table | str]:
        """What has become certain: tables, and the text around them."""
        text = self._half_tag + delta
        whole = len(text) - _half_edge(text)
        self._half_tag = text[whole:]
        return list(self._scan(text[:whole]))

    def close(self) -> list[Table | str]:
        """The rest; a table that nothing has ended ends here."""
        rest = "".join(self._held) + self._half_tag
        pieces: list[Table | str] = [read_table(rest)] if self._held else [rest] if rest else []
        self._half_tag, self._held, self._depth = "", [], 0
        return pieces

    def _scan(self, text: str) -> Iterator[Table | str]:
        place = 0
        for edge in _EDGE.finditer(text):
            if self._depth == 0:
                if edge[1]:
                    continue  # the end of no table is text
                if place < edge.start():
                    yield text[place : edge.start()]
                place = edge.start()
            self._depth += -1 if edge[1] else 1
            if self._depth == 0:
                yield read_table("".join(self._held) + text[place : edge.end()])
                self._held, place = [], edge.end()
        if place < len(text) and self._depth:
            self._held.append(text[place:])
        elif place < len(text):
            yield text[place:]


def split_tables(text: str) -> list[Table | str]:
    """The tables of a text and what stands around them, in order; joined, their sources are the text."""
    parser = TableParser()
    return [*parser.feed(text), *parser.close()]


def read_table(source: str) -> Table:
    """One table from its markup, whatever is left out of it, in linear time; never raises.

    Cells and rows that are not closed end where the next begins, and text outside of cells becomes the caption. No
    span reaches below the last row or over more than MAX_SPAN; where all of them come to more than MAX_PLACES, none
    is believed.
    """
    reader, place = _Reader(), 0
    for tag in _TAG.finditer(source):
        reader.add(source[place : tag.start()])
        reader.take(tag)
        place = tag.end()
    reader.add(source[place:])
    return reader.table(source)


def write_table(table: Table) -> str:
    """The table in the model's own manner, on one line."""
    rows = "".join(f"<tr>{''.join(map(_write_cell, row))}</tr>" for row in table.rows)
    caption = f"<caption>{table.caption}</caption>" if table.caption else ""
    return f"<table>{caption}{rows}</table>"


class _Reader:
    """Cells and rows as their tags come along; inside a cell, a table is text."""

    def __init__(self) -> None:
        self._rows: list[list[Cell]] = []
        self._row: list[Cell] | None = None
        self._cell: Cell | None = None
        self._words: list[str] = []
        self._caption: list[str] = []
        self._in_head = self._nested = False
        self._depth = 0

    def add(self, text: str) -> None:
        """Text, of the cell where there is one."""
        (self._words if self._cell else self._caption).append(text)

    def take(self, tag: re.Match[str]) -> None:
        """A tag of this table, or one of a table in it: that belongs to the text of the cell."""
        closes, name, before = bool(tag[1]), tag[2].lower(), self._depth
        if name == "table":
            self._depth += -1 if closes else 1
        if before + self._depth > 2:
            self._nested = True
            if self._cell:
                self.add(tag[0])
            return
        self._end_cell()
        if name == "thead":
            self._in_head = not closes
        if name in ("td", "th") and not closes:
            self._begin_cell(name, tag[3])
        elif name not in ("td", "th", "col", "caption"):
            self._row = None

    def table(self, source: str) -> Table:
        """All rows that have a cell."""
        self._end_cell()
        caption = _SPACES.sub(" ", " ".join(self._caption)).strip()
        return Table(_settle(self._rows), caption, self._nested, source)

    def _begin_cell(self, name: str, attributes: str) -> None:
        if self._row is None:
            self._row = []
            self._rows.append(self._row)
        spans = {kind.lower(): int(number) for kind, number in _SPAN.findall(attributes)}
        columns, rows = (min(max(1, spans.get(kind, 1)), MAX_SPAN) for kind in ("col", "row"))
        self._cell = Cell("", columns, rows, header=self._in_head or name == "th")

    def _end_cell(self) -> None:
        if self._cell and self._row is not None:
            markup = "".join(self._words).strip()
            self._row.append(Cell(markup, self._cell.columns, self._cell.rows, self._cell.header))
        self._words, self._cell = [], None


def _settle(rows: list[list[Cell]]) -> tuple[tuple[Cell, ...], ...]:
    """The rows with no cell reaching below the last, and none spanning anything where all spans are too many."""
    left = range(len(rows), 0, -1)
    settled = [
        tuple(Cell(cell.markup, cell.columns, min(cell.rows, below), cell.header) for cell in row)
        for row, below in zip(rows, left, strict=True)
    ]
    if sum(cell.columns * cell.rows for row in settled for cell in row) <= MAX_PLACES:
        return tuple(settled)
    return tuple(tuple(Cell(cell.markup, header=cell.header) for cell in row) for row in settled)


def _write_cell(cell: Cell) -> str:
    name = "th" if cell.header else "td"
    columns = f' colspan="{cell.columns}"' if cell.columns > 1 else ""
    rows = f' rowspan="{cell.rows}"' if cell.rows > 1 else ""
    return f"<{name}{columns}{rows}>{cell.markup}</{name}>"


def _half_edge(text: str) -> int:
    """How many characters at the end may become the first or last tag of a table."""
    start = text.rfind("<", -_LONGEST_EDGE)
    if start < 0 or ">" in text[start:]:
        return 0
    name = text[start + 1 :].removeprefix("/").lower()
    return len(text) - start if "table".startswith(name[:5]) and not name[5:6].strip() else 0
