"""TEDS: how alike two HTML tables are as trees of rows and cells, with their words or by their structure alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dsocr.evaluation import edit
from dsocr.evaluation.needs import need


@dataclass(frozen=True)
class Node:
    """A tag of a table and what is in it; a cell holds its characters and inner tags, not nodes."""

    tag: str
    columns: int
    rows: int
    content: tuple[str, ...]
    children: tuple[Node, ...]


@dataclass(frozen=True)
class _Tree:
    root: Node
    size: int  # tags below the root, those inside of cells as well


def teds(truth: str, written: str) -> float:
    """1 - (tree edit distance) / (tags in the larger one), at most 1; 0 where either is no table.

    As defined with PubTabNet (arXiv 1911.10683): a node costs 1 to insert or delete, and 1 to rename where its tag or
    spans differ; two cells cost the normalised edit distance of their contents. The root is edited but not counted, so
    that two tables with nothing in common can come out a little below 0.
    """
    return _similarity(_read(truth), _read(written))


def teds_structure(truth: str, written: str) -> float:
    """The same with empty cells: TEDS-S."""
    return _similarity(_read(truth, structure_only=True), _read(written, structure_only=True))


def _similarity(truth: _Tree | None, written: _Tree | None) -> float:
    if truth is None or written is None:
        return 0.0
    if truth == written:
        return 1.0
    larger = max(truth.size, written.size)
    return 1.0 - _tree_distance(truth.root, written.root) / larger if larger else 0.0


def _read(markup: str, *, structure_only: bool = False) -> _Tree | None:
    if not markup.strip():
        return None
    lxml = need("lxml.html")
    parser = lxml.HTMLParser(remove_comments=True, encoding="utf-8")
    try:
        document = lxml.fromstring(markup.encode("utf-8", "replace"), parser=parser)
    except need("lxml.etree").ParserError:
        return None  # nothing but comments and spaces
    tables = document.xpath("body/table")
    if not tables:
        return None
    return _Tree(_node(tables[0], structure_only), len(tables[0].xpath(".//*")))


def _node(element: Any, structure_only: bool) -> Node:
    if element.tag != "td":
        children = tuple(_node(child, structure_only) for child in element)
        return Node(str(element.tag), 1, 1, (), children)
    content = () if structure_only else tuple(_inside(element))
    return Node("td", _span(element, "colspan"), _span(element, "rowspan"), content, ())


def _span(element: Any, name: str) -> int:
    value = str(element.get(name, "1")).strip()
    return int(value) if value.isascii() and value.isdigit() else 1


def _inside(element: Any) -> Iterator[str]:
    """Characters one by one, and each inner tag as one."""
    yield from element.text or ""
    for child in element:
        yield f"<{child.tag}>"
        yield from _inside(child)
        yield f"</{child.tag}>"
        yield from child.tail or ""


class _Costs:
    """What APTED asks for: the price of each edit, and where a node's children are."""

    valuecls = float

    def children(self, node: Node) -> tuple[Node, ...]:
        return node.children

    def delete(self, node: Node) -> float:
        return 1.0

    def insert(self, node: Node) -> float:
        return 1.0

    def rename(self, first: Node, second: Node) -> float:
        if (first.tag, first.columns, first.rows) != (second.tag, second.columns, second.rows):
            return 1.0
        return edit.normalised(first.content, second.content)


def _tree_distance(first: Node, second: Node) -> float:
    return float(need("apted").APTED(first, second, _Costs()).compute_edit_distance())
