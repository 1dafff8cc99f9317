"""Tables as olmOCR-bench asks about them: which cells are beside a cell, and which are its headings."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dsocr.document.tables import Table, split_tables

_LINE_END = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)


@dataclass(frozen=True)
class PlacedCell:
    """A cell and the places of the grid that it takes."""

    text: str
    row: int
    column: int
    rows: int = 1
    columns: int = 1
    heading: bool = False


@dataclass(frozen=True)
class PlacedTable:
    """The cells of a table, each in its places; where nothing stands, one looks on to the next cell."""

    cells: tuple[PlacedCell, ...]

    def beside(self, cell: PlacedCell, down: int, right: int) -> tuple[PlacedCell, ...]:
        """The nearest cells in a direction, such as down=-1, right=0 for those above; a wide cell can have several."""
        edge = [(row, column) for row in _rows(cell) for column in _columns(cell)]
        found = (self._nearest(row, column, down, right, cell) for row, column in edge)
        return tuple(dict.fromkeys(other for other in found if other))

    def headings(self, cell: PlacedCell, down: int, right: int) -> tuple[PlacedCell, ...]:
        """The headings in one direction; where no cell there is a heading, the last cells before the table's edge."""
        seen, open_cells, ends = {cell}, [cell], []
        while open_cells:
            current = open_cells.pop()
            beside = self.beside(current, down, right)
            if not beside:
                ends.append(current)
            open_cells += [other for other in beside if other not in seen]
            seen.update(beside)
        found = [other for other in seen if other.heading] or ends
        return tuple(other for other in found if other != cell)

    def _nearest(self, row: int, column: int, down: int, right: int, cell: PlacedCell) -> PlacedCell | None:
        height, width = self._size
        while 0 <= (row := row + down) < height and 0 <= (column := column + right) < width:
            other = self._places.get((row, column))
            if other and other != cell:
                return other
        return None

    @functools.cached_property
    def _size(self) -> tuple[int, int]:
        return 1 + max(row for row, _ in self._places), 1 + max(column for _, column in self._places)

    @functools.cached_property
    def _places(self) -> dict[tuple[int, int], PlacedCell]:
        return {(row, column): cell for cell in self.cells for row in _rows(cell) for column in _columns(cell)}


def find_tables(text: str, *, html_only: bool = False) -> list[PlacedTable]:
    """The tables of a page: those in bars and lines, whose first row and column are headings, then those in HTML."""
    bars = [] if html_only else [_placed_lines(lines) for lines in _barred(text)]
    found = [piece for piece in split_tables(text) if isinstance(piece, Table)]
    return [table for table in (*bars, *map(_placed_html, found)) if table.cells]


def _rows(cell: PlacedCell) -> range:
    return range(cell.row, cell.row + cell.rows)


def _columns(cell: PlacedCell) -> range:
    return range(cell.column, cell.column + cell.columns)


def _placed_html(table: Table) -> PlacedTable:
    cells: list[PlacedCell] = []
    taken: set[tuple[int, int]] = set()
    for row, line in enumerate(table.rows):
        column = 0
        for cell in line:
            while (row, column) in taken:
                column += 1
            words = html.unescape(_TAG.sub("", _LINE_END.sub("\n", cell.markup))).strip()
            placed = PlacedCell(words, row, column, cell.rows, cell.columns, cell.header)
            taken |= {(below, beside) for below in _rows(placed) for beside in _columns(placed)}
            cells.append(placed)
    return PlacedTable(tuple(cells))


def _barred(text: str) -> Iterator[list[str]]:
    """Runs of at least two lines with a bar."""
    run: list[str] = []
    for line in (*text.strip().split("\n"), ""):
        if "|" in line:
            run.append(line)
            continue
        if len(run) > 1:
            yield run
        run = []


def _placed_lines(lines: Sequence[str]) -> PlacedTable:
    rule = next((number for number, line in enumerate(lines) if _is_rule(line.replace("|", ""), "- :")), None)
    rows = [line for number, line in enumerate(lines) if number != rule and not _is_rule(line, "- :|")]
    split = [cells for cells in map(_split, rows) if cells]
    return PlacedTable(
        tuple(
            PlacedCell(text, row, column, heading=row == 0 or column == 0)
            for row, cells in enumerate(split)
            for column, text in enumerate(cells)
        )
    )


def _is_rule(line: str, signs: str) -> bool:
    return bool(line.strip()) and set(line.strip()) <= set(signs)


def _split(line: str) -> list[str]:
    """What stands between the bars; nothing before the first and after the last is no cell."""
    cells = [cell.strip() for cell in line.split("|")]
    cells = cells[1:] if cells and not cells[0] else cells
    return cells[:-1] if cells and not cells[-1] else cells


Neighbours = Callable[[PlacedTable, PlacedCell], tuple[PlacedCell, ...]]
DIRECTIONS: dict[str, Neighbours] = {
    "up": lambda table, cell: table.beside(cell, -1, 0),
    "down": lambda table, cell: table.beside(cell, 1, 0),
    "left": lambda table, cell: table.beside(cell, 0, -1),
    "right": lambda table, cell: table.beside(cell, 0, 1),
    "left_heading": lambda table, cell: table.headings(cell, 0, -1),
    "top_heading": lambda table, cell: table.headings(cell, -1, 0),
}
