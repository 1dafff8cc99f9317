"""A table of figures, and the three forms it is shown in: Markdown, HTML, and rows of JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Estimate:
    """A figure with the interval it may lie in."""

    value: float
    low: float
    high: float


Cell = str | int | float | Estimate | None


@dataclass(frozen=True)
class Column:
    """What stands in a column; form: how its numbers are written, such as ".1%"."""

    name: str
    form: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns. None is a cell with nothing in it; the note says how to read the table."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def to_markdown(table: Table) -> str:
    """The table with its title and note, its columns as wide as what stands in them."""
    cells = [[column.name for column in table.columns], *_written(table, _in_bars)]
    widths = [max(2, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths, table) for row in cells]
    rule = "|".join(
        "-" * (width + 1) + (":" if right else "-") for width, right in zip(widths, _rights(table), strict=True)
    )
    body = "\n".join([lines[0], f"|{rule}|", *lines[1:]])
    return "\n\n".join(part for part in (f"**{table.title}**", body, table.note) if part)


def to_html(table: Table) -> str:
    """The table as HTML, with its title as caption and its note below."""
    sides = ["n" if right else "" for right in _rights(table)]
    heads = "".join(_tag("th", side, escape(column.name)) for side, column in zip(sides, table.columns, strict=True))
    rows = "\n".join(
        "<tr>" + "".join(_tag("td", side, cell) for side, cell in zip(sides, row, strict=True)) + "</tr>"
        for row in _written(table, _in_html)
    )
    note = f'<p class="note">{escape(table.note)}</p>\n' if table.note else ""
    caption = f"<caption>{escape(table.title)}</caption>"
    return (
        f'<div class="scroll"><table>\n{caption}\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>\n{note}"
    )


def to_rows(table: Table) -> list[dict[str, object]]:
    """One object for each row, by the names of the columns; an estimate is its value, low and high."""
    names = [column.name for column in table.columns]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in table.rows]


def show(cell: Cell, form: str = "") -> str:
    """A cell as it is read: an estimate with its interval where that is more than a point, nothing as a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, Estimate):
        return f"{cell.value:{form}}{_interval(cell, form)}"
    return cell if isinstance(cell, str) else f"{cell:{form}}"


def _interval(cell: Estimate, form: str) -> str:
    return f" [{cell.low:{form}}, {cell.high:{form}}]" if cell.low < cell.high else ""


def _written(table: Table, make: Callable[[Cell, str], str]) -> list[list[str]]:
    return [[make(cell, column.form) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]


def _in_bars(cell: Cell, form: str) -> str:
    return " ".join(show(cell, form).split()).replace("|", "\\|")


def _line(row: list[str], widths: list[int], table: Table) -> str:
    sides = [">" if right else "<" for right in _rights(table)]
    return (
        "| " + " | ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)) + " |"
    )


def _rights(table: Table) -> list[bool]:
    """Whether each column holds figures, which stand to the right."""
    return [all(not isinstance(row[index], str) for row in table.rows) for index in range(len(table.columns))]


def _in_html(cell: Cell, form: str) -> str:
    """An interval stands below its value: side by side they would make wide tables."""
    interval = _interval(cell, form) if isinstance(cell, Estimate) else ""
    value = show(cell, form).removesuffix(interval)
    return escape(value) + (f"<small>{escape(interval)}</small>" if interval else "")


def _tag(name: str, side: str, text: str) -> str:
    return f'<{name} class="{side}">{text}</{name}>' if side else f"<{name}>{text}</{name}>"


def _plain(cell: Cell) -> object:
    return {"value": cell.value, "low": cell.low, "high": cell.high} if isinstance(cell, Estimate) else cell
